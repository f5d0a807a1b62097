-- SPDX-License-Identifier: MIT
-- The batch loop under the most eager garbage collector: whatever LuaJIT may
-- free, it frees at once, and requests are served the same; and what is served
-- leaves nothing behind.
local lu = require "luaunit"
local ffi = require "ffi"
local C = require "ublk.ffi"

package.loaded["ublk.report"] = { mistake = function() end }
local loop = require "ublk.loop"

local DEPTH, REQUESTS = 32, 100000

local M = {}

function M.setUp()
  collectgarbage("setpause", 0)
  collectgarbage("setstepmul", 1000)
end

function M.tearDown()
  collectgarbage("setpause", 200)
  collectgarbage("setstepmul", 200)
end

-- Only `queue` is kept by the caller of this; what it points to must be kept by the test.
local function new_queue()
  local keep = { ffi.new("struct ul_req[?]", DEPTH), ffi.new("uint16_t[?]", DEPTH),
    ffi.new("uint8_t[?]", DEPTH * 4096) }
  local queue = ffi.new("struct ul_queue", { reqs = keep[1], batch = keep[2], buffers = keep[3],
    depth = DEPTH, max_io = 4096 })
  for tag = 0, DEPTH - 1 do
    queue.batch[tag] = tag
    queue.reqs[tag].tag, queue.reqs[tag].op = tag, C.UL_OP_WRITE
    queue.reqs[tag].sector, queue.reqs[tag].length = tag, 512
  end
  return queue, keep
end

local function held()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024
end

-- A function serve(count[, rounds]) for a batch loop, entered from C (see host.c).
local function server(queue, handlers)
  local worker, replace = loop.new(queue, handlers, _G.idle)
  return function(count, rounds) worker = _G.drive(worker, replace, rounds or 1, count) end
end

-- Bytes held after some requests and after all of them differ by less than `slack`.
local function check(handler, verdict_of, requests, slack)
  local queue, keep = new_queue()
  local serve = server(queue, { [C.UL_OP_WRITE] = handler })
  local rounds = requests / DEPTH / 2

  serve(DEPTH, rounds)
  local before = held()
  serve(DEPTH, rounds)
  local after = held()
  lu.assertTrue(after - before < slack, ("grew by %d bytes"):format(after - before))
  for tag = 0, DEPTH - 1 do lu.assertEquals(keep[1][tag].verdict, verdict_of(tag)) end
end

function M.test_quiet_handlers_leave_nothing()
  check(function() end, function() return C.UL_PASS end, REQUESTS, 4096)
end

function M.test_handlers_that_make_garbage_leave_nothing()
  local function handler(sector, length)
    local t = { sector = sector, text = "s" .. sector }
    if #t.text + length > 1e6 or sector % 2 == 1 then return "EIO" end
  end
  check(handler, function(tag) return tag % 2 == 1 and -5 or C.UL_PASS end, REQUESTS, 16384)
end

function M.test_handlers_that_throw_leave_nothing()
  check(function() error "no" end, function() return -5 end, REQUESTS / 10, 16384)
end

function M.test_workers_of_handlers_that_yield_are_freed()
  check(function() coroutine.yield() end, function() return -5 end, REQUESTS / 10, 16384)
end

return lu.LuaUnit.new():runSuiteByInstances { { "gc", M } }
