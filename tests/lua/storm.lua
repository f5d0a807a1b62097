-- SPDX-License-Identifier: MIT
-- Layers that do at random all that a handler can, well and badly, with tasks
-- beside them: whatever comes of it, each request is answered once, data that
-- was written is read back, and a seed repeats it all.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

local script = [[
local ublk = require "ublk"
local ffi = require "ffi"
local pick, data = ublk.random, ffi.new "uint8_t[4096]"
local saved

local deeds = {
  function() end,
  function() ublk.sleep(pick() / 100) end,
  function(_, _, _, req) req:forward() end,
  function(_, _, _, req) req:forward() ublk.sleep(0) return req:forward() end,
  function() return ublk.hold "gate" end,
  function() ublk.wait "turn" end,
  function() pcall(function() ublk.sleep(0.001) error "inside" end) end,
  function(_, _, _, req) req:hit() ublk.signal "turn" end,
  function() ublk.backing:read(pick(0, 63), 4096, data) end,
  function() ublk.spawn(function() ublk.sleep(pick() / 50) ublk.signal("turn", pick(3)) end) end,
  -- Badly:
  function() error "boom" end,
  function() ublk.sleep(0.001) error {} end,
  function() return "EFOO" end,
  function() coroutine.yield() end,
  function() ublk.sleep(0.001) coroutine.yield(1) end,
  function() saved = saved or coroutine.running() ublk.sleep(0.002) end,
  function() if saved then coroutine.resume(saved, 3, 2) saved = nil end end,
  function() pcall(coroutine.wrap(function() ublk.sleep(1) end)) end,
  function() return pick() < 0.5 and "EIO" or true end,
}

local function layer(name, good)
  return { name = name, handler = function(op, sector, length, buf, req)
    if pick() < 0.3 then return deeds[pick(good and 10 or #deeds)](sector, length, buf, req) end
  end }
end

ublk.every(0.003, function() ublk.release "gate" ublk.signal("turn", 50) end)
local flaky = ublk.every(0.005, function()
  if not %s and pick() < 0.5 then coroutine.yield() end
end)
ublk.at(0.1, function() flaky:cancel() end)
return { on_error = %q, layers = { layer("a", %s), layer("b", true), layer("c", %s) } }
]]

local function storm(policy, good, seed, batch, depth)
  local requests = {}
  for i = 0, 63 do requests[i + 1] = { "write", i, 512, i + 1 } end
  for i = 0, 63 do requests[i + 65] = { "read", i } end
  requests[129] = { "flush" }
  return rig { script = script:format(good, policy, good, good), requests = requests, rounds = 8,
    seed = seed, batch = batch, depth = depth }
end

function M.test_all_is_answered_whatever_goes_wrong()
  for seed = 1, 20 do
    for _, policy in ipairs { "EIO", "pass", "stop" } do
      local got = storm(policy, false, seed, 2 ^ (seed % 7), 64 - seed)
      lu.assertEquals(got.ops.read.requests + got.ops.write.requests, 1024)
      for i, result in ipairs(got.results) do
        lu.assertTrue(result == -5 or result == (i == 129 and 0 or 512), result)
      end
    end
  end
end

function M.test_what_only_waits_loses_no_data()
  for seed = 1, 20 do
    local got = storm("EIO", true, seed, 2 ^ (seed % 7), 64)
    lu.assertEquals(got.log, "")
    for i = 1, 64 do
      lu.assertEquals({ got.results[i], got.results[64 + i] }, { 512, 512 })
      lu.assertEquals(got.answers[64 + i].last, i) -- of the last round
    end
  end
end

function M.test_a_seed_repeats_it()
  for _, good in ipairs { true, false } do
    local one, two = storm("pass", good, 3, 16, 32), storm("pass", good, 3, 16, 32)
    lu.assertEquals(two.results, one.results)
    lu.assertEquals(two.answers, one.answers)
    lu.assertEquals(two.layers, one.layers)
    lu.assertNotEquals(storm("pass", good, 4, 16, 32).answers, one.answers)
  end
end

return lu.LuaUnit.new():runSuiteByInstances { { "storm", M } }
