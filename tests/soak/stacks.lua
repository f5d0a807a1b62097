-- SPDX-License-Identifier: MIT
-- stacks.lua: a random stack of layers that do everything a layer may do, and keep the data as an
-- honest disk would. tests/soak/stacks.c drives it, and asks for what it holds by a flush that no
-- kernel sends (ASK; with END after all tasks have ended). --seed says which stack it is.
local bit, ffi = require "bit", require "ffi"
local ublk = require "ublk"

local ASK, END = ublk.flags.SWAP, ublk.flags.META
local SIZE = ublk.random(1, 8) * 2 ^ 20
local random = ublk.random

local wrong = ublk.counter "wrong" -- what a handler was given against its word
local beats = {} -- the tasks of ublk.every
local live, most_live = 0, 0 -- tasks that are not over

local function pick(list) return list[random(#list)] end

local function rate() return pick { 0.001, 0.01, 0.1, 0.5 } end

local function time() return random() * pick { 0, 1e-6, 1e-4, 1e-2 } end

-- `fn` as a task's function that counts itself.
local function task(fn)
  live = live + 1
  most_live = math.max(most_live, live)
  return function()
    local ok, err = pcall(fn)
    live = live - 1
    if not ok then error(err, 0) end
  end
end

local function every(fn)
  local period = pick { 1e-5, 1e-4, 1e-3 }
  beats[#beats + 1] = ublk.every(period, fn)
end

local function one_op() return pick { "read", "write", "flush", "discard", "write_zeroes" } end

-- Each makes one layer.
local make = {}

function make.errors()
  local share, errno = rate(), pick { "EIO", "ENODATA", "ENOSPC", -5 }
  return { [one_op()] = function() if random() < share then return errno end end }
end

function make.range()
  local from = random(0, SIZE / 512 - 1) * 512
  local ranges = { { from, from + random(1, 64) * 4096 }, "0..4K", (SIZE - 4096) .. ".." }
  return {
    range = ranges,
    read = function() return "ENODATA" end,
    write = function() ublk.sleep(1e-6) end,
  }
end

function make.delay()
  local share = rate()
  return { data = false, handler = function(_, _, _, buf)
    if buf ~= nil then wrong:add() end
    if random() < share then ublk.sleep(time()) end
  end }
end

function make.hold()
  local name, share = "hold " .. random(3), rate()
  every(function() ublk.release(name, random() < 0.1 and "EIO" or nil) end)
  return { handler = function() if random() < share then return ublk.hold(name) end end }
end

-- Many names that are waited for once, most of them for nothing.
function make.timeouts()
  local share = rate()
  return { data = false, handler = function(_, sector)
    if random() >= share then return end
    if random() < 0.5 then
      ublk.hold(sector, time())
    else
      if random() < 0.5 then ublk.signal(sector) end
      ublk.wait(sector, time())
    end
    ublk.release(sector + 8)
  end }
end

function make.signal()
  local name = "signal " .. random(3)
  every(function() ublk.signal(name, random(8)) end)
  return {
    read = function() return ublk.wait(name) end,
    write = function() ublk.signal(name) end,
  }
end

function make.forward()
  local share = rate()
  return { handler = function(_, _, _, _, req)
    local failed = req:forward()
    if random() < share then ublk.sleep(time()) end
    if random() < share / 10 then return "ETIMEDOUT" end
    return failed
  end }
end

-- Changes the data on its way down, and back on its way up. Knows which sectors it has changed.
function make.cipher()
  local key, done = random(2 ^ 31 - 1), ffi.new("uint8_t[?]", SIZE / 512)
  local function change(buf, first, sectors)
    local words = ffi.cast("int32_t *", buf) + first * 128
    for i = 0, sectors * 128 - 1 do words[i] = bit.bxor(words[i], key) end
  end
  local function clear(sector, length, _, req)
    local failed = req:forward()
    if not failed then ffi.fill(done + sector, length / 512) end
    return failed
  end
  return {
    write = function(sector, length, buf, req)
      change(buf, 0, length / 512)
      local failed = req:forward()
      if not failed then ffi.fill(done + sector, length / 512, 1) end
      return failed
    end,
    read = function(sector, length, buf, req)
      local failed = req:forward()
      if failed then return failed end
      for i = 0, length / 512 - 1 do
        if done[sector + i] == 1 then change(buf, i, 1) end
      end
    end,
    discard = clear,
    write_zeroes = clear,
  }
end

function make.count()
  local counter, sizes = ublk.counter("count " .. random(9)), ublk.histogram("sizes", "size")
  return { handler = function(_, _, length, _, req)
    counter:add()
    sizes:record(length)
    if length > 4096 then req:hit() end
  end }
end

function make.mistakes()
  local share = rate() / 10
  return { [one_op()] = function(sector)
    if random() >= share then return end
    if random() < 0.5 then error("no luck at sector " .. tostring(sector)) end
    return pick { 17, false, "EWHAT", {} }
  end }
end

function make.garbage()
  local last = { text = "" }
  return { handler = function(op, sector, length)
    last = { sector = sector, text = op .. length, before = #last.text }
  end }
end

function make.tasks()
  local share = rate()
  every(function() ublk.sleep(time()) end)
  return { handler = function()
    if live >= 50 or random() >= share then return end
    ublk.spawn(task(function() ublk.sleep(time()) end))
    ublk.at(ublk.now() + time(), task(function() if random() < 0.1 then error "no luck" end end))
    local never = ublk.at(ublk.now() + 1e6, error)
    if not never:cancel() then wrong:add() end
  end }
end

-- Serves from the backing itself, so it must be the lowest.
local function backing_layer()
  local buffer = ffi.new "uint8_t[4096]"
  every(function()
    ublk.backing:read(random(0, SIZE / 4096 - 1) * 8, 4096, buffer)
  end)
  return {
    read = function(sector, length, buf)
      return ublk.backing:read(sector, length, buf) or true
    end,
    write = function(sector, length, buf)
      if random() < 0.5 then return ublk.backing:write(sector, length, buf) or true end
    end,
    flush = function() return ublk.backing:flush() or true end,
  }
end

local function upvalue(fn, name)
  for i = 1, math.huge do
    local found, value = debug.getupvalue(fn, i)
    if found == name then return value end
    if not found then error("no upvalue " .. name) end
  end
end

local function count(map)
  local n = 0
  for _ in pairs(map) do n = n + 1 end
  return n
end

-- Names that are remembered, with nobody who waits and no signal that was given.
local function needless(permits)
  local n = 0
  for _, left in pairs(permits) do n = left == 0 and n + 1 or n end
  return n
end

-- What is alive now, where only the library itself knows of it.
local function tell()
  local engine, tasks, wait = require "ublk.engine", require "ublk.tasks", require "ublk.wait"
  jit.flush() -- traces come and go
  collectgarbage()
  collectgarbage()
  ublk.counter("memory").value = collectgarbage "count" * 1024
  ublk.counter("fibers").value = count(upvalue(engine.new_fiber, "running").fibers)
  ublk.counter("most tasks").value = #beats + most_live
  ublk.counter("free tasks").value = #upvalue(upvalue(tasks.drop, "end_task"), "free")
  ublk.counter("names").value = count(upvalue(wait.release, "held"))
    + count(upvalue(wait.signal, "waiting")) + needless(upvalue(wait.signal, "permits"))
end

local function flush(_, _, _, req)
  if bit.band(req.flags, ASK) == 0 then return end
  if bit.band(req.flags, END) ~= 0 then
    for _, beat in ipairs(beats) do beat:cancel() end
    ublk.sleep(0.1) -- longer than any of them
  end
  tell()
  return true
end

local kinds = {}
for name in pairs(make) do kinds[#kinds + 1] = name end
table.sort(kinds)

local layers = {}
for _ = 1, random(1, 8) do
  local kind = pick(kinds)
  local layer = make[kind]()
  layer.name = kind
  layers[#layers + 1] = layer
end
if random() < 0.25 then layers[#layers + 1] = backing_layer() end

return {
  size = SIZE,
  max_io = "64K",
  depth = pick { 1, 2, 7, 32, 64, 128 },
  on_error = pick { "EIO", "pass", "stop" },
  layers = layers,
  flush = flush,
}
