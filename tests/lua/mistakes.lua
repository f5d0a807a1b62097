-- SPDX-License-Identifier: MIT
-- lua/ublk/mistakes.lua: what on_error makes of a request whose handler threw
-- or returned no verdict, in each layer and after a wait; and what is told.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- Three layers; the middle one goes wrong in the given way. Writes with every on_error.
local function run(on_error, body, requests)
  local got = rig { requests = requests or { { "write", 0, 512, 7 }, { "read" } }, batch = 1,
    script = ([[
      local ublk = require "ublk"
      return { on_error = %q, layers = {
        { name = "top", write = function() end },
        { name = "mid", write = function(sector, length, buf, req) %s end },
        { name = "low", write = function(sector)
          if sector == 1 then return "ENOSPC" elseif sector == 2 then ublk.sleep(1) end
        end },
      } } ]]):format(on_error, body) }
  lu.assertEquals(got.load, 0, got.log)
  return got
end

local wrong = {
  ["error 'boom'"] = "the handler failed, %s: ",
  ["return 'EFOO'"] = 'the handler returned "EFOO", which is no verdict (nil, true, an errno name '
    .. "or a negative errno are), %s",
  ["return 'EAGAIN'"] = "the handler's verdict is refused, %s: EAGAIN means",
  ["ublk.sleep(1) error 'boom'"] = "the handler failed, %s: ",
  ["ublk.sleep(1) return false"] = "the handler returned false, which is no verdict",
}

local function each_way(on_error, outcome, check)
  for body, said in pairs(wrong) do
    local got = run(on_error, body)
    lu.assertStrContains(got.log, "ublk-lua: mid, write: " .. said:format(outcome))
    check(got, body)
  end
end

function M.test_eio_fails_the_request()
  each_way("EIO", "the request gets EIO", function(got, body)
    lu.assertEquals(got.results, { -5, 512 }, body)
    lu.assertEquals(got.stops, 0)
    lu.assertEquals(got.layers[4].seen, 0)
    lu.assertEquals(got.ops.write.injected, 1)
  end)
end

function M.test_eio_is_what_is_not_said()
  local got = rig { requests = { { "write" } }, script = [[
    return { write = function() error "boom" end } ]] }
  lu.assertEquals(got.results, { -5 })
  -- A device without layers needs no name.
  lu.assertStrMatches(got.log, "ublk%-lua: write: the handler failed, the request gets EIO: .*")
end

function M.test_pass_asks_the_layers_below()
  each_way("pass", "the request goes on to the layer below", function(got, body)
    lu.assertEquals(got.results, { 512, 512 }, body)
    lu.assertEquals(got.layers[4].seen, 1)
    lu.assertEquals(got.stops, 0)
  end)
end

function M.test_pass_takes_the_verdict_of_the_layers_below()
  for body in pairs(wrong) do
    local got = run("pass", body, { { "write", 1 }, { "write", 2, 512, 7 }, { "read", 2 } })
    lu.assertEquals(got.results, { -28, 512, 512 }, body)
    -- Layer low waits for a second, after mid has.
    lu.assertEquals(got.answers[2].time, body:find "sleep" and 2 or 1, body)
  end
end

function M.test_a_backing_says_it_for_a_device_that_does_not()
  local script = [[
    return { %s write = function() error "boom" end, backing = { backing = { on_error = "pass" } } }
    ]]
  local got = rig { requests = { { "write" } }, script = script:format "" }
  lu.assertEquals(got.results, { 512 })
  got = rig { requests = { { "write" } }, script = script:format "on_error = 'EIO'," }
  lu.assertEquals(got.results, { -5 })
end

function M.test_pass_in_a_batch_goes_on_with_it()
  local got = rig { requests = { { "write", 0 }, { "write", 2 }, { "write", 1 }, { "write", 4 },
    { "write", 2 }, { "write", 5 } }, script = [[
    local ublk = require "ublk"
    return { on_error = "pass", layers = {
      { write = function(sector) if sector < 4 then error "boom" end end },
      { write = function(sector)
        if sector == 1 then return "ENOSPC" elseif sector == 2 then ublk.sleep(1) error "below" end
        return "ENODATA"
      end } } } ]] }
  lu.assertEquals(got.results, { -61, 512, -28, -61, 512, -61 })
  lu.assertEquals({ got.layers[2].seen, got.layers[3].seen }, { 6, 6 })
end

function M.test_pass_after_forward_is_what_forward_said()
  for _, body in ipairs { "error 'boom'", "return 'EFOO'" } do
    local got = run("pass", "req:forward() " .. body, { { "write", 0, 512, 7 }, { "write", 1 },
      { "read" } })
    lu.assertEquals(got.results, { 512, -28, 512 })
    lu.assertEquals(got.layers[4].seen, 2) -- once for each write
  end
end

function M.test_pass_of_the_lowest_layer_is_the_backing()
  local got = rig { requests = { { "write", 0, 512, 7 }, { "read", 0 } }, script = [[
    return { on_error = "pass", write = function() error "boom" end } ]], batch = 1 }
  lu.assertEquals(got.results, { 512, 512 })
  lu.assertEquals(got.answers[2].first, 7)
end

function M.test_stop_fails_the_request_and_asks_for_the_end()
  each_way("stop", "the request gets EIO and the device is stopped", function(got, body)
    lu.assertEquals(got.results, { -5, 512 }, body)
    lu.assertEquals(got.stops, 1, body)
  end)
end

function M.test_a_forward_sees_what_came_of_a_mistake_below()
  local script = [[
    return { on_error = %q, layers = { { write = function(s, n, b, req) print(req:forward()) end },
      { write = function() error "boom" end } } } ]]
  for policy, result in pairs { EIO = -5, pass = 512, stop = -5 } do
    local got = rig { requests = { { "write" } }, script = script:format(policy) }
    lu.assertEquals(got.results, { result })
    lu.assertStrContains(got.log, result == 512 and "ublk-lua: nil\n" or "ublk-lua: EIO\n")
    lu.assertEquals(got.stops, policy == "stop" and 1 or 0)
  end
end

-- A tail call leaves the stack: no line of the script is on it.
function M.test_a_tail_call_is_told_with_its_handler()
  for _, call in ipairs { "ublk.hold(nil)", "error('ublk.hold needs a name', 2)" } do
    local got = run("EIO", "return " .. call)
    lu.assertStrMatches(got.log,
      "ublk%-lua: mid, write: the handler failed, the request gets EIO: in the handler at "
        .. "[^\n]*test.lua:4: ublk.hold needs a name[^\n]*\nstack traceback:\n.*")
    lu.assertNotStrContains(got.log, "ublk.layers:5: ublk.hold")
  end
  local got = rig { requests = { { "write" } }, script = [[
    return { handler = function() end,
      write = function() return error("no", 2) end } ]] }
  lu.assertStrMatches(got.log, ".*: in the handler at [^\n]*test.lua:1 or [^\n]*test.lua:2: no\n.*")
  got = rig { requests = { { "write" } }, script = [[
    return { layers = { { write = error } } } ]] }
  lu.assertEquals(got.results, { -5 })
end

function M.test_methods_want_a_colon()
  for call, said in pairs { ["req.forward()"] = "req:forward()", ["req.hit()"] = "req:hit()",
    ["c.add()"] = "counter:add()", ["h.record(1)"] = "histogram:record(value)",
    ["t.cancel()"] = "task:cancel()", ["b.flush()"] = "ublk.backing:flush()",
    ["b.read(0, 512, buf)"] = "ublk.backing:read(sector, length, buf)",
    ["b.write(0, 512, buf)"] = "ublk.backing:write(sector, length, buf)",
    ["b.discard(0, 512)"] = "ublk.backing:discard(sector, length)",
    ["b.write_zeroes(0, 512)"] = "ublk.backing:write_zeroes(sector, length)",
    ["s.add 'n'"] = "shared:add(name)", ["s.cas(0, 1)"] = "shared:add(name)" } do
    local got = rig { requests = { { "write" } }, script = ([[
      local ublk = require "ublk"
      local b, c, h = ublk.backing, ublk.counter "c", ublk.histogram "h"
      local s, t = ublk.shared { n = 0 }, ublk.after("1h", print)
      return { write = function(sector, length, buf, req)
        %s
      end } ]]):format(call) }
    lu.assertStrMatches(got.log, ".*test.lua:5: [^\n]*with a colon: .*")
    lu.assertStrContains(got.log, "colon: " .. said .. "\n")
  end
end

function M.test_an_error_of_many_lines_is_one()
  local got = run("EIO", "error 'one\\n\\ttwo'")
  lu.assertStrMatches(got.log, ".*: [^\n]*test.lua:4: one two\nstack traceback:\n.*")
end

-- A text of a megabyte in each of many errors, none of which is looked at whole.
function M.test_a_long_error_costs_no_time()
  local start = os.clock()
  local got = rig { requests = { { "write" } }, rounds = 200, batch = 1, script = [[
    local long = ("1 "):rep(2 ^ 19)
    return { write = function(sector, length) error(long) end } ]] }
  lu.assertEquals(got.results, { -5 })
  lu.assertTrue(os.clock() - start < 3) -- with all of it: 20
end

function M.test_the_layer_is_named_after_a_forward_too()
  local got = run("EIO", "req:forward() return 'EFOO'")
  lu.assertStrContains(got.log, 'mid, write: the handler returned "EFOO"')
  got = run("EIO", "req:forward() ublk.sleep(1) error 'boom'")
  lu.assertStrContains(got.log, "mid, write: the handler failed")
end

return lu.LuaUnit.new():runSuiteByInstances { { "mistakes", M } }
