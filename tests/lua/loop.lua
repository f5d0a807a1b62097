-- SPDX-License-Identifier: MIT
-- lua/ublk/loop.lua: verdicts in a batch. The table of all verdicts, the order
-- of a batch, and that one request's mistake stays its own.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- A device whose writes are served by a function with this body.
local function writes(body)
  return "local ffi = require 'ffi'\n"
    .. "return { size = '1M', write = function(sector, length, buf, req)\n" .. body .. "\nend }"
end

-- The result of a write whose handler returns what `text` says, and the log.
local function verdict_of(text)
  local run = rig { script = writes("return " .. text), requests = { { "write" } } }
  return run.results[1], run.log
end

function M.test_each_verdict()
  for text, result in pairs { ["nil"] = 512, ["true"] = 512, ["'EIO'"] = -5, ["'ENODATA'"] = -61,
    ["'ENOSPC'"] = -28, ["'ENOTSUP'"] = -95, ["-5"] = -5, ["-110"] = -110, ["nil, 'EIO'"] = 512 } do
    lu.assertEquals({ verdict_of(text) }, { result, "" }, text)
  end
end

function M.test_each_that_is_none()
  for _, text in ipairs { "false", "0", "1", "2", "5", "-134", "-5.5", "0 / 0", "math.huge", "''",
    "'EFOO'", "'eio'", "{}", "print", "ffi.new 'int'", "coroutine.create(print)", "'EAGAIN'", "-11",
    "'EWOULDBLOCK'", "'EREMCHG'", "-78" } do
    local result, log = verdict_of(text)
    lu.assertEquals(result, -5, text)
    lu.assertStrContains(log, "write: the handler")
    lu.assertEquals(select(2, log:gsub("\n", "")), 1, log)
  end
end

function M.test_a_batch_is_served_in_its_order()
  local run = rig {
    script = writes "print(sector, req.tag)",
    requests = { { "write", 7 }, { "write", 3 }, { "write", 5 } },
  }
  lu.assertEquals(run.log, "ublk-lua: 7 0\nublk-lua: 3 1\nublk-lua: 5 2\n")
  lu.assertEquals(run.results, { 512, 512, 512 })
end

function M.test_a_handler_gets_its_tags_buffer_of_its_data()
  local run = rig {
    script = [[
      local function look(sector, length, buf, req)
        print(req.tag, buf == nil and "none", buf and buf[0], buf and buf[length - 1])
      end
      return { size = "1M", write = look, flush = look } ]],
    requests = { { "write", 0, 512, 7 }, { "write", 8, 1024, 8 }, { "flush" } },
  }
  lu.assertEquals(run.log:gsub("ublk%-lua: ", ""), "0 false 7 7\n1 false 8 8\n2 none nil nil\n")
end

-- Sector 1 of three goes wrong in the given way, three times over. Returns the log.
local function one_goes_wrong(how)
  local run = rig {
    script = writes(("if sector == 1 then %s end"):format(how)),
    requests = { { "write", 0 }, { "write", 1 }, { "write", 2 } },
    depth = 3,
    rounds = 3,
  }
  lu.assertEquals(run.results, { 512, -5, 512 })
  lu.assertEquals(run.ops.write, { requests = 9, errors = 3, scripted = 9, injected = 3 })
  lu.assertStrContains(run.log, "(3 times in all)")
  return run.log
end

function M.test_an_error_is_told_with_its_traceback()
  local log = one_goes_wrong "error 'boom'"
  lu.assertStrContains(log, "test.lua:3: boom\nstack traceback:\n")
end

function M.test_error_objects_are_errors()
  lu.assertStrContains(one_goes_wrong "error {}", "table: 0x")
  lu.assertStrContains(one_goes_wrong "error()", "test.lua:2: nil\n")
end

function M.test_a_yield_is_a_mistake()
  lu.assertStrContains(one_goes_wrong "coroutine.yield()", "coroutine.yield")
end

function M.test_a_yield_of_every_request()
  local run = rig {
    script = writes "coroutine.yield(1, 2)",
    requests = { { "write", 0 }, { "write", 1 }, { "write", 2 } },
    rounds = 100,
  }
  lu.assertEquals(run.results, { -5, -5, -5 })
  lu.assertStrContains(run.log, "(300 times in all)")
end

-- Makes engine.new_fiber fail from the second fiber on.
local no_more_fibers = [[
  local ublk, engine = require "ublk", require "ublk.engine"
  local new_fiber, made = engine.new_fiber, 0
  function engine.new_fiber()
    made = made + 1
    if made > 1 then error("not enough memory", 0) end
    return new_fiber()
  end
]]

function M.test_a_task_without_a_fiber_is_told_and_gives_its_slot_back()
  local run = rig {
    script = no_more_fibers .. [[
      for _ = 1, 1024 do ublk.spawn(print) end
      return { size = "1M", write = function(sector)
        if sector == 0 then ublk.sleep(1) return end
        for _ = 1, 1024 do ublk.spawn(function() end) end
      end } ]],
    requests = { { "write", 0 }, { "write", 1 } },
    depth = 1,
  }
  lu.assertEquals(run.results, { 512, 512 })
  lu.assertStrContains(run.log, "ublk-lua: the batch loop failed: not enough memory\n")
  lu.assertStrContains(run.log, "(1024 times in all)")
  lu.assertEquals(select(2, run.log:gsub("\n", "")), 2, run.log)
end

-- Two fibers are idle. One gets a request that waits, after it has set a debug hook, which throws
-- once, at the n-th instruction. Where that ends the other one, which gets the next request, before
-- it has begun with it, the one that waits must not take the blame.
function M.test_the_fiber_that_failed_is_settled_and_no_other()
  local failed = 0
  for n = 1, 250 do
    local run = rig {
      script = ([[
        local ublk = require "ublk"
        jit.off()
        local function hook() debug.sethook() error("hook", 0) end
        return { size = "1M", write = function(sector)
          if sector == 2 then debug.sethook(hook, "", %d) end
          ublk.sleep(1)
        end } ]]):format(n),
      requests = { { "write", 0 }, { "write", 1 }, { "write", 2 }, { "write", 3 } },
      depth = 2,
    }
    if run.log:find "the batch loop failed" then
      failed = failed + 1
      lu.assertEquals(run.results, { 512, 512, 512, -5 }, run.log)
    end
  end
  lu.assertTrue(failed > 0)
end

return lu.LuaUnit.new():runSuiteByInstances { { "loop", M } }
