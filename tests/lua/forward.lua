-- SPDX-License-Identifier: MIT
-- req:forward: a handler has the layers below and the backing serve its
-- request, sees what became of it, and may change that.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- What a device prints whose handlers `head` declares, and the results of `requests`.
local function run(script, requests, more)
  local config = { script = "local ublk = require 'ublk'\n" .. script, requests = requests,
    batch = 1 }
  for name, value in pairs(more or {}) do config[name] = value end
  local got = rig(config)
  lu.assertEquals(got.load, 0, got.log)
  return got.log:gsub("ublk%-lua: ", ""), got.results, got
end

function M.test_it_tells_what_the_backing_said()
  local log, results = run([[
    return { handler = function(op, s, n, buf, req) print(op, req:forward()) end } ]],
    { { "write", 8 }, { "read", 2 ^ 30 }, { "flush" }, { "discard", 2 ^ 30 } })
  lu.assertEquals(log, "write nil\nread EIO\nflush nil\ndiscard EIO\n")
  lu.assertEquals(results, { 512, -5, 0, -5 })
end

function M.test_a_verdict_after_it_stands()
  local _, results = run([[
    return { handler = function(op, s, n, buf, req)
      req:forward()
      if op == "read" then return true end
      return "ENOSPC"
    end } ]], { { "write" }, { "read", 2 ^ 30 } })
  lu.assertEquals(results, { -28, 512 })
end

function M.test_what_was_read_can_be_seen_and_changed()
  local log, results, got = run([[
    return { read = function(s, n, buf, req)
      local err = req:forward()
      print(err, buf[0], buf[n - 1])
      buf[n - 1] = 9
    end } ]], { { "write", 0, 512, 7 }, { "read", 0 }, { "read", 0 } })
  lu.assertEquals(log, "nil 7 7\nnil 7 7\n") -- what is in the backing is as it was
  lu.assertEquals({ got.answers[2].first, got.answers[2].last }, { 7, 9 })
  lu.assertEquals(results, { 512, 512, 512 })
end

function M.test_what_is_written_can_be_changed_before()
  local _, _, got = run([[
    return { write = function(s, n, buf, req) buf[0] = 9 return req:forward() end } ]],
    { { "write", 0, 512, 7 }, { "read", 0 } })
  lu.assertEquals({ got.answers[2].first, got.answers[2].last }, { 9, 7 })
end

function M.test_twice_is_done_twice()
  local log, results, got = run([[
    return { layers = { { write = function(s, n, buf, req)
      print(req:forward(), buf[0])
      buf[0] = buf[0] + 1
      print(req:forward(), buf[0])
    end }, { name = "below", write = function() end } } } ]],
    { { "write", 0, 512, 7 }, { "read", 0 } })
  lu.assertEquals(log, "nil 7\nnil 8\n")
  lu.assertEquals(results, { 512, 512 })
  lu.assertEquals(got.answers[2].first, 8)
  lu.assertEquals(got.layers[3].seen, 2)
end

function M.test_the_last_of_two_counts_for_a_handler_that_says_nothing()
  local log, results = run([[
    local calls = 0
    return { layers = { { read = function(s, n, buf, req)
      print(req:forward(), req:forward())
    end }, { read = function() calls = calls + 1 if calls == 2 then return "EIO" end end } } } ]],
    { { "read", 0 } })
  lu.assertEquals(log, "nil EIO\n")
  lu.assertEquals(results, { -5 })
end

-- A lower layer does what `body` says; what the upper one that forwards hears.
local function below(body)
  local log, results, got = run(([[
    return { layers = {
      { name = "top", write = function(s, n, buf, req)
        local err = req:forward()
        print("top", err, ublk.now())
        if s == 1 then return "ENOSPC" end
      end },
      { name = "mid", write = function(s, n, buf, req) %s end },
      { name = "low", write = function(s) print("low", s) end },
    } } ]]):format(body), { { "write", 0, 512, 5 }, { "write", 1 }, { "read", 0 } })
  lu.assertEquals(results[2], -28)
  return log, results[1], got
end

function M.test_through_a_layer_that_says_nothing()
  local log, result, got = below ""
  lu.assertEquals(log, "low 0\ntop nil 0\nlow 1\ntop nil 0\n")
  lu.assertEquals(result, 512)
  lu.assertEquals(got.answers[3].first, 5)
end

function M.test_through_a_layer_that_fails()
  local log, result, got = below "return 'EILSEQ'"
  lu.assertEquals(log, "top EILSEQ 0\ntop EILSEQ 0\n")
  lu.assertEquals(result, -84)
  lu.assertEquals(got.answers[3].first, 0)
  lu.assertEquals(got.ops.write.errors, 2)
end

function M.test_through_a_layer_that_serves()
  local log, result, got = below "return true"
  lu.assertEquals(log, "top nil 0\ntop nil 0\n")
  lu.assertEquals(result, 512)
  lu.assertEquals(got.answers[3].first, 0)
end

function M.test_through_a_layer_that_waits()
  local log, result, got = below "ublk.sleep(2 - s)"
  lu.assertEquals(log, "low 1\ntop nil 1\nlow 0\ntop nil 2\n")
  lu.assertEquals(result, 512)
  lu.assertEquals(got.answers[1].time, 2)
  local seen = {}
  for i, layer in ipairs(got.layers) do seen[i] = { layer.seen, layer.hit } end
  lu.assertEquals(seen, { { 0, 0 }, { 2, 2 }, { 2, 2 }, { 2, 0 } })
end

function M.test_through_a_layer_that_waits_and_fails()
  local log, result = below "ublk.sleep(1) return 'EIO'"
  lu.assertEquals(log, "top EIO 1\ntop EIO 1\n")
  lu.assertEquals(result, -5)
end

function M.test_through_a_layer_that_forwards_too()
  local log, result, got = below "print('mid', req:forward()) if s == 0 then return 'EIO' end"
  lu.assertEquals(log, "low 0\nmid nil\ntop EIO 0\nlow 1\nmid nil\ntop nil 0\n")
  lu.assertEquals(result, -5)
  lu.assertEquals(got.answers[3].first, 5)
end

function M.test_through_a_layer_that_throws()
  local log, result = below "error 'no'"
  lu.assertStrContains(log, "mid, write: the handler failed, the request gets EIO: ")
  lu.assertStrContains(log, "top EIO 0\n")
  lu.assertEquals(result, -5)
end

function M.test_through_a_layer_with_a_wrong_verdict()
  local log, result = below "return 'EFOO'"
  lu.assertStrContains(log, 'mid, write: the handler returned "EFOO"')
  lu.assertStrContains(log, "top EIO 0\n")
  lu.assertEquals(result, -5)
end

function M.test_only_ranges_of_lower_layers_that_are_touched()
  local log = run([[
    return { layers = { { write = function(s, n, b, req) req:forward() end },
      { range = "4K..8K", write = function(s) print("low", s) end } } } ]],
    { { "write", 0 }, { "write", 8 }, { "write", 16 }, { "write", 7, 1024 } })
  lu.assertEquals(log, "low 8\nlow 7\n")
end

function M.test_only_of_the_own_request()
  local log, results = run([[
    local other
    ublk.every(1, function() print(pcall(other.forward, other)) end)
    return { write = function(s, n, buf, req)
      if s == 0 then other = req ublk.sleep(1) return end
      print(pcall(other.forward, other))
      ublk.sleep(2)
    end } ]], { { "write", 0 }, { "write", 1 } })
  lu.assertEquals(results, { 512, 512 })
  local _, lines = log:gsub("\n", "")
  local _, errors = log:gsub("false req:forward: only on the request of the handler that runs", "")
  lu.assertEquals(errors, lines, log)
  lu.assertTrue(lines >= 2)
end

function M.test_a_batch_of_forwards_and_others_keeps_its_answers_apart()
  local requests = {}
  for i = 1, 60 do requests[i] = { "write", i, 512, i } end
  for i = 1, 60 do requests[60 + i] = { "read", i } end
  local _, results, got = run([[
    return { layers = { { handler = function(op, s, n, buf, req)
      if s % 2 == 0 then local err = req:forward() if s % 4 == 0 then return err end end
      if s % 3 == 0 then return op == "read" and "ENODATA" or nil end
    end }, { read = function(s) if s % 5 == 0 then return "EIO" end end } } } ]], requests,
    { batch = 60, depth = 60 })
  for i = 1, 60 do
    lu.assertEquals(results[i], 512)
    local expected = i % 4 ~= 0 and i % 3 == 0 and -61 or i % 5 == 0 and -5 or 512
    lu.assertEquals(results[60 + i], expected, i)
    if expected == 512 then lu.assertEquals(got.answers[60 + i].last, i) end
  end
end

return lu.LuaUnit.new():runSuiteByInstances { { "forward", M } }
