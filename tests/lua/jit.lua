-- SPDX-License-Identifier: MIT
-- The batch loop must compile and stay so: a million requests through it as C
-- sends them, with each trace that LuaJIT starts, ends or gives up on record.
-- What handlers cost is measured against this loop being machine code.
local lu = require "luaunit"
local ffi = require "ffi"
local jit_util = require "jit.util"
local vmdef = require "jit.vmdef"
local C = require "ublk.ffi"
local random = require "ublk.random"

local DEPTH, BATCH, REQUESTS = 64, 32, 1000000

local M = {}
local loop

-- What LuaJIT gives up on stays so in a module's bytecode: each test takes its own.
function M.setUp()
  package.loaded["ublk.loop"] = nil
  loop = require "ublk.loop"
  jit.flush()
  collectgarbage()
end

-- Is this function of lua/ublk? The bytecode's chunks have the names of their files.
local function library_place(func, pc)
  local info = jit_util.funcinfo(func, pc)
  local source = info.source or ""
  return source:find("lua/ublk/", 1, true) and ("%s:%d"):format(source, info.currentline) or nil
end

-- Events of traces that concern the library, until stop() is called.
local function record()
  local events = { loops = {}, aborts = {}, funcs = {} }
  local starts = {}
  local function on_trace(what, number, func, pc, reason)
    if what == "start" then
      starts[number] = library_place(func, pc)
      if starts[number] and starts[number]:find "loop%.lua" then events.funcs[func] = true end
    elseif what == "stop" and starts[number] and starts[number]:find "loop%.lua" then
      events.loops[#events.loops + 1] = number
    elseif what == "abort" then
      local place = library_place(func, pc) or starts[number]
      local text = vmdef.traceerr[reason] or reason
      if place then events.aborts[#events.aborts + 1] = ("%s: %s"):format(place, text) end
    elseif what == "flush" then
      events.flushed = true
    end
  end
  jit.attach(on_trace, "trace")
  function events.stop() jit.attach(on_trace) end
  return events
end

-- The loops of these functions by the names of their bytecodes: JFORL and the
-- like are compiled, FORL is not, IFORL is one that LuaJIT has given up on.
local function loop_bytecodes(funcs)
  local names = {}
  for func in pairs(funcs) do
    for pc = 1, jit_util.funcinfo(func).bytecodes - 1 do
      local op = bit.band(jit_util.funcbc(func, pc), 0xff)
      local name = vmdef.bcnames:sub(op * 6 + 1, op * 6 + 6):gsub("%s+$", "")
      if name:find "^[IJ]?FORL$" or name:find "^[IJ]?LOOP$" then names[#names + 1] = name end
    end
  end
  return table.concat(names, " ")
end

local keep -- memory that the queue points to

local function new_queue()
  keep = { ffi.new("struct ul_req[?]", DEPTH), ffi.new("uint16_t[?]", DEPTH),
    ffi.new("uint8_t[?]", DEPTH * 4096) }
  local queue = ffi.new("struct ul_queue", { reqs = keep[1], batch = keep[2], buffers = keep[3],
    depth = DEPTH, max_io = 4096 })
  local ops = { C.UL_OP_READ, C.UL_OP_WRITE, C.UL_OP_READ, C.UL_OP_WRITE, C.UL_OP_FLUSH }
  for tag = 0, DEPTH - 1 do
    local req = queue.reqs[tag]
    req.tag, req.op, req.sector, req.length = tag, ops[tag % #ops + 1], tag * 8, 4096
  end
  for i = 0, BATCH - 1 do queue.batch[i] = i * 2 end
  return queue
end

-- A function serve(count[, rounds]) for a batch loop, entered from C (see host.c).
local function server(queue, handlers)
  local worker, replace = loop.new(queue, handlers, _G.idle)
  return function(count, rounds) worker = _G.drive(worker, replace, rounds or 1, count) end
end

local function check(handlers, batch)
  local serve = server(new_queue(), handlers)
  local rounds = REQUESTS / 2 / batch

  local events = record()
  serve(batch, rounds)
  events.stop()
  local warm_up = table.concat(events.aborts, "; ")
  lu.assertTrue(#events.loops > 0, "no trace in loop.lua; aborts: " .. warm_up)
  local bytecodes = loop_bytecodes(events.funcs)
  lu.assertStrContains(bytecodes, "JFORL", "the loop is not compiled: " .. bytecodes)
  lu.assertNotStrContains(bytecodes, "IFORL", "given up on: " .. bytecodes)

  local steady = record()
  serve(batch, rounds)
  steady.stop()
  lu.assertEquals(steady.aborts, {})
  lu.assertNil(steady.flushed)
end

local function quiet() end

function M.test_handlers_that_pass_everything()
  check({ [C.UL_OP_READ] = quiet, [C.UL_OP_WRITE] = quiet, [C.UL_OP_FLUSH] = quiet }, BATCH)
end

function M.test_handlers_that_fail_at_random()
  random.seed(1, 0)
  local function fault() if random.random() < 0.01 then return "EIO" end end
  check({ [C.UL_OP_READ] = fault, [C.UL_OP_WRITE] = fault, [C.UL_OP_FLUSH] = quiet }, BATCH)
end

function M.test_handlers_that_look_at_the_request_and_its_data()
  local sum = 0
  local function look(sector, length, buf, req)
    sum = sum + buf[length - 1] + sector
    if bit.band(req.flags, C.UL_FLAG_FUA) ~= 0 then return true end
    if sector > 256 then return "ENODATA" end
  end
  check({ [C.UL_OP_READ] = look, [C.UL_OP_WRITE] = look, [C.UL_OP_FLUSH] = quiet }, BATCH)
end

function M.test_small_batches()
  random.seed(1, 0)
  local function fault() if random.random() < 0.5 then return "EIO" end end
  check({ [C.UL_OP_READ] = fault, [C.UL_OP_WRITE] = quiet, [C.UL_OP_FLUSH] = quiet }, 4)
end

-- The record itself: what does not compile must be seen not to.
function M.test_the_record_sees_what_does_not_compile()
  local function hostile() end
  jit.off(hostile)
  local serve = server(new_queue(), { [C.UL_OP_READ] = hostile, [C.UL_OP_WRITE] = hostile,
    [C.UL_OP_FLUSH] = hostile })
  local events = record()
  serve(BATCH, 10000)
  events.stop()
  lu.assertNotStrContains(loop_bytecodes(events.funcs), "JFORL")
  lu.assertNotEquals(events.aborts, {})
end

return lu.LuaUnit.new():runSuiteByInstances { { "jit", M } }
