-- SPDX-License-Identifier: MIT
-- The batch loop under the most eager garbage collector: whatever LuaJIT may
-- free, it frees at once, and requests are served the same; and what is served
-- leaves nothing behind.
local lu = require "luaunit"
local rig = _G.rig

local BATCH, ROUNDS = 32, 3200

local M = {}

-- Each round is a batch: 31 writes, and a discard that counts rounds and says what is held.
local script = [[
collectgarbage("setpause", 0)
collectgarbage("setstepmul", 1000)
local ublk = require "ublk"
local rounds = 0
local function held()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count" * 1024
end
return {
  size = "1M",
  write = function(sector, length, buf, req) %s end,
  discard = function()
    rounds = rounds + 1
    if rounds == %d or rounds == %d then ublk.log("held", held()) end
  end,
}
]]

-- Bytes held after half of the requests and after all of them differ by less than `slack`; the
-- results of writes to even and to odd sectors.
local function check(body, even, odd, rounds, slack)
  local requests = {}
  for i = 1, BATCH - 1 do requests[i] = { "write", i } end
  requests[BATCH] = { "discard" }
  local run = rig { script = script:format(body, rounds / 2, rounds), requests = requests,
    depth = BATCH, rounds = rounds }
  local before, after = run.log:match "held ([%d.]+)\n.*held ([%d.]+)\n"
  lu.assertTrue(after - before < slack, ("grew by %d bytes"):format(after - before))
  for i = 1, BATCH - 1 do lu.assertEquals(run.results[i], i % 2 == 0 and even or odd) end
  return run
end

function M.test_quiet_handlers_leave_nothing()
  check("", 512, 512, ROUNDS, 4096)
end

function M.test_handlers_that_make_garbage_leave_nothing()
  check([[
    local t = { sector = sector, text = "s" .. sector }
    if #t.text + length > 1e6 or sector % 2 == 1 then return "EIO" end
  ]], 512, -5, ROUNDS, 16384)
end

function M.test_handlers_that_throw_leave_nothing()
  check("error 'no'", -5, -5, ROUNDS / 10, 16384)
end

function M.test_fibers_of_handlers_that_yield_are_freed()
  check("coroutine.yield()", -5, -5, ROUNDS / 10, 16384)
end

function M.test_handlers_that_wait_leave_nothing()
  check("if sector % 2 == 1 then ublk.sleep(0.001) return 'EIO' end", 512, -5, ROUNDS / 10, 16384)
  check("if sector % 2 == 1 then return req:forward() or 'EIO' end", 512, -5, ROUNDS / 10, 16384)
  check("ublk.spawn(type, 1)", 512, 512, ROUNDS / 10, 16384)
end

return lu.LuaUnit.new():runSuiteByInstances { { "gc", M } }
