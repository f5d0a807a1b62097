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
    for pc = 1, jit_util.funcinfo(func).bytecodes - 1 do
      local op = bit.band(jit_util.funcbc(func, pc), 0xff)
      local name = vmdef.bcnames:sub(op * 6 + 1, op * 6 + 6):gsub("%s+$", "")
      if name:find "^[IJ]?FORL$" then names[#names + 1] = name end
    end
  end
  return table.concat(names, " ")
end

local rounds = 0
local function discard()
  rounds = rounds + 1
  if rounds ~= HALF and rounds ~= 2 * HALF then return end
  ublk.log("half:", loops, "loops", loop_bytecodes(), "flushed", flushed)
  for _, text in ipairs(aborts) do ublk.log("abort:", text) end
  aborts, flushed = {}, false
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
  local first, second = run.log:match "^(ublk%-lua: half: .*)(ublk%-lua: half: .*)$"
  lu.assertNotNil(first, run.log)
  return first, second, run
end

-- A device of this text is served by machine code, and after half of the requests nothing changes.
local function check(script, batch)
  local first, second, run = run_halves(script, batch or BATCH)
  lu.assertStrContains(first, "JFORL")
  lu.assertNotStrContains(first, "IFORL")
  lu.assertNotStrContains(second, "IFORL")
  lu.assertNotStrContains(second, "abort:")
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

-- The record itself: what does not compile must be seen not to.
function M.test_the_record_sees_what_does_not_compile()
  local first = run_halves([[
    local function hostile() end
    jit.off(hostile)
    local device = { read = hostile, write = hostile, flush = hostile }]], BATCH, 320000)
  lu.assertNotStrContains(first, "JFORL")
  lu.assertStrContains(first, "abort:")
end

return lu.LuaUnit.new():runSuiteByInstances { { "jit", M } }
