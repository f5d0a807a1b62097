-- SPDX-License-Identifier: MIT
-- lua/ublk/inspect.lua and traces.lua without C: which functions they find in a
-- device, how its JSON is written, and which words they have for the compiler's.
local lu = require "luaunit"
local inspect = require "ublk.inspect"
local layers = require "ublk.layers"
local report = require "ublk.report"
local traces = require "ublk.traces"

local M = {}

local function text_for(device)
  inspect.watch(layers.stack(device, function(value) return type(value) == "table" end))
  return inspect.text()
end

function M.tearDown()
  report.quiet = false
end

function M.test_a_device_without_handlers()
  local text = text_for { size = 1 }
  lu.assertStrContains(text, '"handlers":[]')
  lu.assertStrContains(text, '"mistakes":[]')
  lu.assertStrContains(text, '"aborts":[]')
end

function M.test_handlers_have_their_op_place_layer_and_range()
  local below = { name = "disk", flush = function() end }
  local text = text_for {
    read = function() end,
    layers = { { name = "slow", range = { "0..1M", "1G.." }, handler = function() end } },
    backing = below,
  }
  lu.assertStrMatches(text, '.*"layer":"device","op":"read","place":"inspect.lua:%d+".*')
  lu.assertStrMatches(text,
    '.*"layer":"slow","op":"any","place":"inspect.lua:%d+","range":"0..1M, 1G..".*')
  lu.assertStrMatches(text, '.*"layer":"disk","op":"flush","place":"inspect.lua:%d+".*')
end

function M.test_text_is_quoted_as_json_wants_it()
  inspect.watch {}
  report.mistake("a", 'a "b" \\ \n \1')
  report.mistake "café"
  report.mistake "bad \255"
  local text = inspect.text()
  lu.assertStrContains(text, [["a \"b\" \\ \u000a \u0001"]])
  lu.assertStrContains(text, '"café"')
  lu.assertStrContains(text, [["bad \u00ff"]])
end

function M.test_a_loop_outside_the_batch_loop_says_nothing()
  traces.start {}
  local sum = 0
  for i = 1, 1000 do sum = sum + i end
  local compiled, aborts = traces.stop()
  lu.assertNil(compiled)
  lu.assertEquals(aborts, {})
  lu.assertEquals(sum, 500500)
end

return lu.LuaUnit.new():runSuiteByInstances { { "inspect", M } }
