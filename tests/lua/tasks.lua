-- SPDX-License-Identifier: MIT
-- lua/ublk/tasks.lua: what runs beside the I/O, and when. The clock is the
-- simulation's, and jumps to whatever is due next.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- What a script of this text prints whose device lives for `seconds`; its one write waits so long.
local function run(script, seconds, more)
  local config = { requests = { { "write" } }, script = "local ublk = require 'ublk'\n" .. script
    .. ("\nreturn { write = function() ublk.sleep(%.17g) end }"):format(seconds or 10) }
  for name, value in pairs(more or {}) do config[name] = value end
  local got = rig(config)
  lu.assertEquals(got.load, 0, got.log)
  return got.log:gsub("ublk%-lua: ", ""), got
end

function M.test_spawn_runs_a_function_with_its_arguments()
  local log = run [[
    ublk.spawn(function(...) print(ublk.now(), select("#", ...), ...) end, 1, nil, "x", nil)
    print "loaded" ]]
  lu.assertEquals(log, "loaded\n0 4 1 nil x nil\n")
end

function M.test_tasks_begin_in_their_order()
  lu.assertEquals(run [[
    for i = 1, 3 do ublk.spawn(print, i) end
    ublk.at(0, function() print "at" end) ]], "1\n2\n3\nat\n")
end

function M.test_spawn_in_a_handler_or_task_runs_in_the_same_round()
  local got = rig { requests = { { "write" }, { "write", 1 } }, batch = 1, script = [[
    local ublk = require "ublk"
    return { write = function(s)
      ublk.spawn(function() ublk.spawn(print, "inner", s) print("outer", s) end)
      print("handler", s)
    end } ]] }
  lu.assertEquals(got.log:gsub("ublk%-lua: ", ""),
    "handler 0\nouter 0\ninner 0\nhandler 1\nouter 1\ninner 1\n")
end

function M.test_at_runs_once_at_its_time()
  lu.assertEquals(run [[
    ublk.at("5s", function() print("five", ublk.now()) end)
    ublk.at(1, function()
      print("one", ublk.now())
      ublk.at(0.5, function() print("past", ublk.now()) end)
    end) ]], "one 1\npast 1\nfive 5\n")
end

function M.test_after_counts_from_where_it_is_asked_for_and_passes_arguments()
  lu.assertEquals(run [[
    ublk.after("3s", print, "three")
    ublk.at(1, function(who) ublk.after(1, function(x) print(who, x, ublk.now()) end, "b") end, "a")
    ]], "a b 2\nthree\n")
end

function M.test_every_runs_again_and_again_first_after_one()
  lu.assertEquals(run([[ublk.every("2s", function() print(ublk.now()) end)]], 7), "2\n4\n6\n")
end

function M.test_every_does_not_drift()
  -- A sleep in it does not shift the next beat, nor do sums of 0.1 over a thousand of them.
  local log = run([[
    local beats = 0
    ublk.every(0.1, function()
      beats = beats + 1
      if beats % 250 == 0 then print(beats, ("%.6f"):format(ublk.now())) end
      ublk.sleep(0.05)
    end) ]], 100.05)
  lu.assertEquals(log, "250 25.000000\n500 50.000000\n750 75.000000\n1000 100.000000\n")
end

function M.test_every_leaves_out_what_it_missed()
  lu.assertEquals(run([[
    local beats = 0
    ublk.every(1, function()
      beats = beats + 1
      print(beats, ublk.now())
      if beats == 2 then ublk.sleep(3.5) end
    end) ]], 8.5), "1 1\n2 2\n3 6\n4 7\n5 8\n")
end

function M.test_every_in_a_handler_counts_from_there()
  local got = rig { requests = { { "write" }, { "write" } }, depth = 1, script = [[
    local ublk = require "ublk"
    local begun
    return { write = function()
      ublk.sleep(1.5)
      if begun then return end
      begun = ublk.every(1, function() print(ublk.now()) end)
      ublk.sleep(1.2)
    end } ]] }
  lu.assertEquals(got.log:gsub("ublk%-lua: ", ""), "2.5\n3.5\n")
end

function M.test_cancelled_while_the_script_loads()
  lu.assertEquals(run [[
    local a, b, c = ublk.spawn(print, "spawn"), ublk.at(1, print), ublk.every(1, print)
    print(a:cancel(), b:cancel(), c:cancel(), a:cancel()) ]], "true true true false\n")
end

function M.test_cancelled_before_it_is_due()
  lu.assertEquals(run [[
    local a = ublk.at(5, function() print "never" end)
    local b = ublk.every(2, function() print("beat", ublk.now()) end)
    ublk.at(3, function() print(a:cancel(), b:cancel(), a:cancel(), b:cancel()) end) ]],
    "beat 2\ntrue true false false\n")
end

function M.test_cancelled_in_the_round_in_which_it_is_due()
  lu.assertEquals(run [[
    local b
    ublk.at(1, function() print("a", b:cancel()) end)
    b = ublk.at(1, function() print "never" end)
    ublk.spawn(function()
      local c = ublk.spawn(print, "never")
      print("c", c:cancel(), c:cancel())
    end) ]], "c true false\na true\n")
end

function M.test_cancelled_when_it_has_run()
  lu.assertEquals(run [[
    local a = ublk.spawn(print, "a")
    ublk.at(1, function() print(a:cancel()) end) ]], "a\nfalse\n")
end

function M.test_cancelled_by_itself()
  lu.assertEquals(run [[
    local beats, task = 0
    task = ublk.every(1, function()
      beats = beats + 1
      if beats == 2 then print(beats, task:cancel()) end
      print(ublk.now())
    end) ]], "1\n2 true\n2\n")
end

function M.test_cancelled_while_it_waits_it_comes_to_its_end()
  lu.assertEquals(run [[
    local task = ublk.every(1, function() ublk.sleep(2) print("end", ublk.now()) end)
    ublk.at(2, function() print(task:cancel(), task:cancel()) end) ]], "true false\nend 3\n")
end

-- A slot that is free again must not be woken by what its last task had asked for.
function M.test_slots_of_cancelled_tasks_are_used_again()
  local log, got = run([[
    local ran = ublk.counter "ran"
    for i = 1, 5000 do
      local task = ublk.at(i / 1000, error)
      task:cancel()
    end
    ublk.spawn(function()
      for i = 1, 5000 do
        ublk.at(ublk.now() + 5, error):cancel()
        local task = ublk.spawn(function() ublk.sleep(0.001) ran:add() end)
        if i % 2 == 0 then task:cancel() end
        local again
        again = ublk.every(0.0001, function() again:cancel() end)
        ublk.sleep(0.0005)
      end
    end) ]], 20)
  lu.assertEquals(log, "")
  lu.assertEquals(got.counters.ran, 2500)
end

function M.test_an_error_is_told_and_the_queue_lives()
  local log, got = run [[
    ublk.spawn(error, "boom")
    ublk.spawn(function() local x x.y = 1 end)
    ublk.every(1, function() error({}) end)
    ublk.spawn(print, "others") ]]
  lu.assertStrContains(log, "a task failed: boom\nstack traceback:\n")
  lu.assertStrMatches(log, ".*a task failed: [^\n]*test%.lua:3: attempt to index local 'x'.*")
  lu.assertStrMatches(log, ".*a task failed: in the task at [^\n]*test%.lua:4: table: 0x.*")
  lu.assertStrMatches(log, ".*\ntask: [^\n]*: table: 0x%x+ %(%d+ times in all%)\n") -- it goes on
  lu.assertStrContains(log, "others\n")
  lu.assertEquals(got.results, { 512 })
  lu.assertEquals(got.stops, 0)
end

function M.test_errors_that_cannot_be_told_and_yields_end_their_task_alone()
  local log, got = run([[
    ublk.spawn(error, setmetatable({}, { __tostring = function() error "again" end }))
    ublk.every(1, function() print("beat") coroutine.yield() end)
    ublk.spawn(print, "others")
    ublk.every(0.001, function() ublk.spawn(coroutine.yield) end) ]], 3)
  lu.assertStrContains(log, "again")
  lu.assertStrContains(log, "others\n")
  lu.assertEquals(select(2, log:gsub("beat\n", "")), 1)
  lu.assertStrContains(log, "a task called coroutine.yield by itself; it is ended")
  lu.assertNotStrContains(log, "tasks at one time")
  lu.assertEquals(got.results, { 512 })
end

function M.test_a_device_that_stops_on_errors_stops_for_a_tasks_too()
  local got = rig { requests = { { "write" } }, script = [[
    local ublk = require "ublk"
    ublk.at(1, function() error "boom" end)
    return { on_error = "stop", write = function() ublk.sleep(2) end } ]] }
  lu.assertEquals(got.stops, 1)
  lu.assertEquals(got.results, { 512 })
end

function M.test_there_is_a_most_of_tasks()
  local log = run([[
    local ended = ublk.counter "ended"
    ublk.spawn(function()
      for round = 1, 3 do
        local begun = 0
        local function nap() ublk.sleep(0.5) ended:add() end
        while pcall(ublk.spawn, nap) do begun = begun + 1 end
        print(begun, pcall(ublk.at, 1, print))
        ublk.sleep(1)
      end
      print(ended.value)
    end) ]])
  local said = "1023 false ublk.at: more than 1024 tasks at one time\n"
  lu.assertEquals(log, said:rep(3) .. "3069\n")
end

function M.test_more_than_the_most_while_the_script_loads()
  local got = rig { requests = { { "write" } }, script = [[
    local ublk = require "ublk"
    for i = 1, 1025 do ublk.spawn(print, i) end
    return { } ]] }
  lu.assertNotEquals(got.load, 0)
  lu.assertStrContains(got.log, "test.lua:2: ublk.spawn: more than 1024 tasks at one time")
end

function M.test_what_is_no_task()
  for text, said in pairs {
    ["spawn()"] = "ublk.spawn needs a function",
    ["spawn 'x'"] = "ublk.spawn needs a function",
    ["at(1)"] = "ublk.at needs a function",
    ["at('x', print)"] = "ublk.at needs a time",
    ["every(print, 1)"] = "ublk.every needs a time",
    ["every(0, print)"] = "ublk.every needs a time above 0",
    ["every(-1, print)"] = "ublk.every needs a time",
  } do
    local got = rig { requests = {}, script = "local ublk = require 'ublk'\nublk." .. text
      .. " return {}" }
    lu.assertNotEquals(got.load, 0, text)
    lu.assertStrMatches(got.log, ".*test%.lua:2: " .. said:gsub("%p", "%%%0") .. ".*")
  end
end

return lu.LuaUnit.new():runSuiteByInstances { { "tasks", M } }
