-- SPDX-License-Identifier: MIT
-- The batch loop must compile and stay so: a million requests through it as C
-- sends them, with each trace that LuaJIT starts, ends or gives up on record.
-- What handlers cost is measured against this loop being machine code.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

local BATCH, REQUESTS = 32, 1000000

-- In front of each script: the record of traces that concern the library, in the script's own
-- state. A discard ends the first half of the requests, and the second; then it is told.
local prelude = [[
local ublk = require "ublk"
local ffi = require "ffi"
local jit_util = require "jit.util"
local vmdef = require "jit.vmdef"

-- Is this function of lua/ublk, or of what compose.lua makes? Bytecode chunks have their files'
-- names.
local function place_of(func, pc)
  local info = jit_util.funcinfo(func, pc)
  local source = info.source or ""
  return (source:find("lua/ublk/", 1, true) or source == "=ublk.layers")
    and ("%s:%d"):format(source, info.currentline) or nil
end

local starts, loops, aborts, funcs, flushed = {}, 0, {}, {}, false
jit.attach(function(what, number, func, pc, reason)
  if what == "start" then
    starts[number] = place_of(func, pc)
    if starts[number] and starts[number]:find "loop%.lua" then funcs[func] = true end
  elseif what == "stop" and starts[number] and starts[number]:find "loop%.lua" then
    loops = loops + 1
  elseif what == "abort" then
    local place = place_of(func, pc) or starts[number]
    if place then aborts[#aborts + 1] = place .. ": " .. (vmdef.traceerr[reason] or reason) end
  elseif what == "flush" then
    flushed = true
  end
end, "trace")

-- The loops by the names of their bytecodes: JFORL and the like are compiled, FORL is not, IFORL
-- is one that LuaJIT has given up on.
local function loop_bytecodes()
  local names = {}
  for func in pairs(funcs) do
    for pc = 0, jit_util.funcinfo(func).bytecodes - 1 do
      local op = bit.band(jit_util.funcbc(func, pc), 0xff)
      local name = vmdef.bcnames:sub(op * 6 + 1, op * 6 + 6):gsub("%s+$", "")
      if name:find "^[IJ]?FORL$" or name == "JFUNCF" then names[#names + 1] = name end
    end
  end
  return table.concat(names, " ")
end

-- Not by ublk.log: it would be called for each line, become hot and have traces of its own.
local function tell()
  local lines = { ("half: %d loops %s flushed %s"):format(loops, loop_bytecodes(), flushed) }
  for _, text in ipairs(aborts) do lines[#lines + 1] = "abort: " .. text end
  io.stderr:write(table.concat(lines, "\n"), "\n")
  aborts, flushed = {}, false
end
jit.off(tell)

local rounds = 0
local function discard()
  rounds = rounds + 1
  if rounds == HALF or rounds == 2 * HALF then tell() end
end

]]

local ops = { "read", "write", "read", "write", "flush" }

-- Run a script that ends with `return device`, half of the requests and then the other half.
-- Returns what the log says of each half.
local function run_halves(script, batch, requests)
  local list = {}
  for i = 1, batch - 1 do
    local op = ops[i % #ops + 1]
    list[i] = { op, op == "flush" and 0 or i * 8, op == "flush" and 0 or 4096 }
  end
  list[batch] = { "discard" }
  local half = math.ceil((requests or REQUESTS) / batch / 2)
  local run = rig {
    script = prelude:gsub("HALF", half) .. script .. "\ndevice.discard = discard return device",
    requests = list, depth = batch, rounds = half * 2,
  }
  lu.assertEquals(run.load, 0, run.log)
  local first, second = run.log:match "^(half: .*)(half: .*)$"
  lu.assertNotNil(first, run.log)
  return first, second, run
end

-- A try that begins with a batch's last request ends where the fiber yields, which is left to
-- chance: one or two of these say nothing. Without them.
local function not_by_chance(text)
  return (text:gsub("abort: @lua/ublk/loop%.lua:%d+: error thrown or hook called[^\n]*\n", "", 2))
end

-- A device of this text is served by machine code, and after half of the requests nothing changes.
local function check(script, batch)
  local first, second, run = run_halves(script, batch or BATCH)
  -- Of a short loop LuaJIT may unroll all into a trace of the function around it.
  lu.assertTrue(first:find("JFORL", 1, true) ~= nil or first:find("JFUNCF", 1, true) ~= nil, first)
  lu.assertNotStrContains(first, "IFORL")
  lu.assertNotStrContains(second, "IFORL")
  lu.assertNotStrContains(not_by_chance(second), "abort:")
  lu.assertStrContains(second, "flushed false")
  return run
end

function M.test_handlers_that_pass_everything()
  check "local function quiet() end local device = { read = quiet, write = quiet, flush = quiet }"
end

function M.test_handlers_that_fail_at_random()
  check [[
    local function fault() if ublk.random() < 0.01 then return "EIO" end end
    local device = { read = fault, write = fault, flush = function() end }]]
end

function M.test_handlers_that_look_at_the_request_and_its_data()
  check [[
    local sum = 0
    local function look(sector, length, buf, req)
      sum = sum + buf[length - 1] + sector
      if bit.band(req.flags, ublk.flags.FUA) ~= 0 then return true end
      if sector > 128 then return "ENODATA" end
    end
    local device = { read = look, write = look, flush = function() end }]]
end

function M.test_small_batches()
  check([[
    local function fault() if ublk.random() < 0.5 then return "EIO" end end
    local device = { read = fault, write = function() end, flush = function() end }]], 4)
end

function M.test_one_handler_for_all_ops()
  check [[
    local count = 0
    local device = { handler = function(op, sector)
      if op == "flush" then count = count + 1 elseif sector == 8 then return "EIO" end
    end }]]
end

function M.test_five_layers()
  local run = check [[
    local function fault() if ublk.random() < 0.001 then return "EIO" end end
    local function mark(sector, length, buf, req) if sector == 16 then req:hit() end end
    local function spoil(sector, length, buf) if length > 0 then buf[0] = 1 end end
    local device = { write = fault, layers = { { name = "a", read = fault },
      { name = "b", handler = function() end }, { name = "c", write = mark, read = mark },
      { name = "d", data = false, read = function() end, flush = fault },
      { name = "e", write = spoil, read = spoil } } }]]
  lu.assertEquals(run.layers[6].name, "e")
  lu.assertTrue(run.layers[6].seen > REQUESTS * 0.7)
  lu.assertTrue(run.layers[4].hit > REQUESTS * 0.02)
end

function M.test_ranges()
  local run = check [[
    local function eio() return "EIO" end
    local device = { layers = { { name = "one", range = "4K..12K", handler = eio },
      { name = "list", range = { "..4K", "64K+4K", "100K.." }, read = eio, write = eio },
      { name = "rest", handler = function() end } } }]]
  lu.assertTrue(run.layers[2].hit > 0 and run.layers[3].hit > 0)
  lu.assertTrue(run.layers[4].seen > REQUESTS * 0.5)
end

function M.test_counters_and_histograms_in_a_handler()
  local run = check [[
    local all = ublk.shared { reads = 0 }
    local device = { read = function(sector, length, buf, req)
      ublk.counter("reads"):add()
      ublk.counter("bytes"):add(length)
      ublk.histogram("sizes", "size"):record(length)
      all:add("reads")
      ublk.histogram("late", "time"):record(ublk.now() - req.time)
    end }]]
  lu.assertEquals(run.counters.reads, run.ops.read.requests)
  lu.assertEquals(run.counters.bytes, run.ops.read.requests * 4096)
end

-- One request of a thousand waits, and so leaves the batch from the midst of the compiled loop.
-- What follows a wait is tried a few times and then left to the interpreter.
local function check_parked(wait)
  local first, second, run = run_halves(([[
    local n = 0
    local function maybe(sector, length, buf, req)
      n = n + 1
      if n %% 1000 == 0 then %s end
    end
    local device = { read = maybe, write = maybe, flush = function() end }]]):format(wait), BATCH)
  lu.assertStrContains(first, "JFORL")
  lu.assertNotStrContains(first .. second, "IFORL")
  lu.assertTrue(select(2, second:gsub("abort:", "")) < 10, second)
  lu.assertStrContains(second, "flushed false")
  local waits = math.floor((run.ops.read.requests + run.ops.write.requests) / 1000)
  lu.assertEquals(run.layers[1].hit, waits)
  lu.assertEquals(run.ops.read.errors, 0)
end

function M.test_a_few_that_sleep() check_parked "ublk.sleep(0.001)" end

function M.test_a_few_that_are_forwarded() check_parked "req:forward()" end

function M.test_many_that_wait()
  local first, second = run_halves([[
    local function wait(sector) if sector % 16 == 0 then ublk.sleep(0.001) end end
    local device = { read = wait, write = wait, flush = function() end }]], BATCH, REQUESTS / 4)
  lu.assertStrContains(first, "JFORL")
  lu.assertNotStrContains(second, "IFORL")
  lu.assertStrContains(second, "flushed false")
end

-- The record itself: what does not compile must be seen not to.
function M.test_the_record_sees_what_does_not_compile()
  local first = run_halves([[
    local function hostile() end
    jit.off(hostile)
    local device = { read = hostile, write = hostile, flush = hostile }]], BATCH, 320000)
  lu.assertStrContains(first, "IFORL") -- a JFORL may be the loop that makes the table of buffers
  lu.assertStrContains(first, "abort:")
end

return lu.LuaUnit.new():runSuiteByInstances { { "jit", M } }
