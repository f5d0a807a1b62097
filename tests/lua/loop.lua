-- SPDX-License-Identifier: MIT
-- lua/ublk/loop.lua: verdicts in a batch over plain memory, with no queue
-- around it. The table of all verdicts, and that one request's mistake stays its own.
local lu = require "luaunit"
local ffi = require "ffi"
local C = require "ublk.ffi"

-- What would be logged.
local mistakes = {}
package.loaded["ublk.report"] = { mistake = function(message, trace)
  mistakes[#mistakes + 1] = { message = message, trace = trace }
end }
local loop = require "ublk.loop"

local DEPTH, MAX_IO = 8, 4096

local M = {}
local queue, memory

function M.setUp()
  mistakes = {}
  memory = {
    reqs = ffi.new("struct ul_req[?]", DEPTH),
    batch = ffi.new("uint16_t[?]", DEPTH),
    buffers = ffi.new("uint8_t[?]", DEPTH * MAX_IO),
  }
  queue = ffi.new("struct ul_queue", { reqs = memory.reqs, batch = memory.batch,
    buffers = memory.buffers, depth = DEPTH, max_io = MAX_IO })
  for tag = 0, DEPTH - 1 do
    memory.reqs[tag].tag = tag
    memory.reqs[tag].verdict = 12345 -- which no verdict is
  end
end

-- A function serve(count[, rounds]) for a batch loop, entered from C (see host.c).
local function server(q, handlers)
  local worker, replace = loop.new(q, handlers, _G.idle)
  return function(count, rounds) worker = _G.drive(worker, replace, rounds or 1, count) end
end

-- A batch of writes to sectors 0, 1, … in these tags.
local function fill(tags)
  for i, tag in ipairs(tags) do
    memory.batch[i - 1] = tag
    local req = memory.reqs[tag]
    req.op, req.sector, req.length = C.UL_OP_WRITE, i - 1, 512
  end
  return #tags
end

local function verdict_of(value)
  local serve = server(queue, { [C.UL_OP_WRITE] = function() return value end })
  serve(fill { 0 })
  return memory.reqs[0].verdict
end

function M.test_each_verdict()
  lu.assertEquals(verdict_of(nil), C.UL_PASS)
  lu.assertEquals(verdict_of(true), C.UL_DONE)
  lu.assertEquals(verdict_of "EIO", -5)
  lu.assertEquals(verdict_of "ENODATA", -61)
  lu.assertEquals(verdict_of "ENOSPC", -28)
  lu.assertEquals(verdict_of "ENOTSUP", -95)
  lu.assertEquals(verdict_of(-5), -5)
  lu.assertEquals(verdict_of(-110), -110)
  lu.assertEquals(mistakes, {})
end

function M.test_each_that_is_none()
  for _, value in ipairs { false, 0, 1, 5, -134, -5.5, 0 / 0, math.huge, "", "EFOO", "eio", {},
    print, ffi.new "int", coroutine.create(print), "EAGAIN", -11, "EWOULDBLOCK", "EREMCHG", -78 } do
    mistakes = {}
    lu.assertEquals(verdict_of(value), -5, tostring(value))
    lu.assertEquals(#mistakes, 1, tostring(value))
    lu.assertStrContains(mistakes[1].message, "write: ")
  end
end

function M.test_only_the_first_value_counts()
  local serve = server(queue, { [C.UL_OP_WRITE] = function() return nil, "EIO" end })
  serve(fill { 0 })
  lu.assertEquals(memory.reqs[0].verdict, C.UL_PASS)
end

function M.test_a_batch_is_served_in_its_order()
  local sectors = {}
  local serve = server(queue, { [C.UL_OP_WRITE] = function(sector, _, _, req)
    sectors[#sectors + 1] = { sector, req.tag }
  end })
  serve(fill { 5, 2, 7 })
  lu.assertEquals(sectors, { { 0, 5 }, { 1, 2 }, { 2, 7 } })
  for _, tag in ipairs { 5, 2, 7 } do lu.assertEquals(memory.reqs[tag].verdict, C.UL_PASS) end
  lu.assertEquals(memory.reqs[0].verdict, 12345)
end

function M.test_a_handler_gets_its_tags_buffer()
  local seen
  local serve = server(queue, { [C.UL_OP_WRITE] = function(_, _, buf) seen = buf end,
    [C.UL_OP_FLUSH] = function(_, _, buf) seen = buf end })
  serve(fill { 3 })
  lu.assertEquals(ffi.cast("uint8_t *", seen), memory.buffers + 3 * MAX_IO)
  memory.reqs[3].op = C.UL_OP_FLUSH
  serve(1)
  lu.assertNil(seen)
end

-- Sector 1 of three goes wrong in the given way.
local function one_goes_wrong(how)
  local serve = server(queue, { [C.UL_OP_WRITE] = function(sector)
    if sector == 1 then how() end
  end })
  for _ = 1, 3 do
    M.setUp_requests()
    serve(fill { 0, 1, 2 })
    lu.assertEquals(memory.reqs[0].verdict, C.UL_PASS)
    lu.assertEquals(memory.reqs[1].verdict, -5)
    lu.assertEquals(memory.reqs[2].verdict, C.UL_PASS)
  end
  lu.assertEquals(#mistakes, 3)
end

function M.setUp_requests()
  for tag = 0, DEPTH - 1 do memory.reqs[tag].verdict = 12345 end
end

function M.test_an_error_is_told_with_its_traceback()
  one_goes_wrong(function() error "boom" end)
  lu.assertStrContains(mistakes[1].message, "boom")
  lu.assertNotStrContains(mistakes[1].message, "\n")
  lu.assertStrContains(mistakes[1].trace, "stack traceback:")
  lu.assertEquals(mistakes[2].message, mistakes[1].message) -- so that it is only counted
end

function M.test_error_objects_are_errors()
  one_goes_wrong(function() error {} end)
  mistakes = {}
  one_goes_wrong(function() error() end)
end

function M.test_a_yield_is_a_mistake()
  one_goes_wrong(function() coroutine.yield() end)
  lu.assertStrContains(mistakes[1].message, "coroutine.yield")
end

function M.test_a_yield_of_every_request()
  local serve = server(queue, { [C.UL_OP_WRITE] = function() coroutine.yield(1, 2) end })
  for _ = 1, 100 do serve(fill { 0, 1, 2 }) end
  lu.assertEquals(#mistakes, 300)
  lu.assertEquals(memory.reqs[2].verdict, -5)
end

function M.test_an_empty_batch_is_nothing()
  local serve = server(queue, { [C.UL_OP_WRITE] = error })
  serve(0)
  lu.assertEquals(mistakes, {})
end

return lu.LuaUnit.new():runSuiteByInstances { { "loop", M } }
