-- SPDX-License-Identifier: MIT
-- lua/ublk/wait.lua: sleep, hold and release, wait and signal, the backing; in
-- each place where a script can ask for them. The clock is the simulation's.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- What a script of this text prints, and the results of `requests`, each in a round of its own.
local function run(script, requests, more)
  local config = { script = "local ublk = require 'ublk'\nlocal ffi = require 'ffi'\n" .. script,
    requests = requests or {}, batch = 1 }
  for name, value in pairs(more or {}) do config[name] = value end
  local got = rig(config)
  lu.assertEquals(got.load, 0, got.log)
  return got.log:gsub("ublk%-lua: ", ""), got.results, got
end

-- The same of a device whose writes have a handler with this body.
local function writes(body, requests, more)
  return run("return { write = function(sector, length, buf, req)\n" .. body .. "\nend }",
    requests or { { "write" } }, more)
end

function M.test_a_handler_sleeps()
  for text, seconds in pairs { ["2"] = 2, ["'5ms'"] = 0.005, ["0"] = 0, ["'2h'"] = 7200 } do
    local log, results, got = writes("ublk.sleep(" .. text .. ") print(ublk.now()) return 'EIO'")
    lu.assertEquals(log, ("%.14g\n"):format(seconds))
    lu.assertEquals(results, { -5 })
    lu.assertEquals(got.answers[1].time, seconds)
  end
end

function M.test_sleepers_go_on_by_their_time_and_then_as_they_came()
  local log = writes("ublk.sleep(2 - sector % 2) print(sector)", { { "write", 0 }, { "write", 1 },
    { "write", 2 }, { "write", 3 } }, { batch = 4 })
  lu.assertEquals(log, "1\n3\n0\n2\n")
end

function M.test_a_handler_sleeps_again_and_again()
  local log = writes "for i = 1, 3 do ublk.sleep(0.1) end print(('%.6f'):format(ublk.now()))"
  lu.assertEquals(log, "0.300000\n")
end

function M.test_sleep_in_pcall()
  local log, results = writes [[
    print(pcall(function() ublk.sleep(1) print(ublk.now()) error("no", 0) end))
    print(xpcall(ublk.sleep, debug.traceback, 1))
    print(ublk.now()) ]]
  lu.assertEquals(log, "1\nfalse no\ntrue\n2\n")
  lu.assertEquals(results, { 512 })
end

function M.test_sleep_in_a_task()
  local log = run([[
    ublk.spawn(function() for i = 1, 3 do ublk.sleep(1) print(ublk.now()) end end)
    return { write = function() ublk.sleep(10) end } ]], { { "write" } })
  lu.assertEquals(log, "1\n2\n3\n")
end

-- Nothing waits, and the script is told where it asked for it.
local function refused(log, what)
  lu.assertStrContains(log, what)
  lu.assertStrMatches(log, "false [^\n]*test%.lua:%d+: .*")
end

function M.test_sleep_in_a_coroutine_of_the_scripts()
  local log, results = writes [[
    print(coroutine.resume(coroutine.create(function() ublk.sleep(1) end)))
    local step = coroutine.wrap(function() coroutine.yield(1) coroutine.yield(2) end)
    print(step(), step())
    ublk.sleep(1) ]]
  refused(log, "ublk.sleep: only in a handler or a task, and not in a coroutine of its own")
  lu.assertStrContains(log, "1 2\n") -- those that do not wait are as ever
  lu.assertEquals(results, { 512 })
end

function M.test_sleep_in_a_function_that_c_calls()
  local log, results = writes [[
    print(pcall(string.gsub, "x", "x", function() ublk.sleep(1) end))
    print(pcall(table.sort, { 1, 2 }, function() ublk.hold "x" end))
    ublk.sleep(1) ]]
  refused(log, "ublk.sleep: not inside a function that C calls, such as that of string.gsub")
  lu.assertStrContains(log, "ublk.hold: not inside a function that C calls")
  lu.assertEquals(results, { 512 })
end

function M.test_nothing_waits_while_the_script_loads()
  local log = run [[
    print(pcall(function() local a = ublk.sleep(1) return a end))
    print(pcall(function() local a = ublk.hold "x" return a end))
    print(pcall(function() local a = ublk.wait "x" return a end))
    print(pcall(function() local a = ublk.backing:flush() return a end))
    print(ublk.now(), ublk.release "x", ublk.signal "x")
    return {} ]]
  refused(log, "ublk.sleep: not while the script loads\n")
  for _, what in ipairs { "sleep", "hold", "wait", "backing:flush" } do
    lu.assertStrContains(log, "ublk." .. what .. ": not while the script loads")
  end
  lu.assertStrContains(log, "0 0\n")
end

function M.test_times_and_names_that_are_none()
  for text, said in pairs { ["sleep(-1)"] = "ublk.sleep needs a time", ["sleep 'x'"] =
    "ublk.sleep needs a time", ["sleep {}"] = "ublk.sleep needs a time", ["sleep { '1s' }"] =
    "ublk.sleep needs a time", ["sleep { '10ms', '2ms' }"] =
    "ublk.sleep needs a range that does not end before it begins", ["sleep '10ms..2ms'"] =
    "ublk.sleep needs a range that does not end before", ["sleep '2ms..'"] =
    "ublk.sleep needs a range that ends", ["sleep { 1, math.huge }"] =
    "ublk.sleep needs a range that ends", ["sleep('2ms', '10ms')"] =
    "ublk.sleep takes one time, or a range: { from, to }", ["sleep()"] =
    "ublk.sleep needs a time", ["hold()"] =
    "ublk.hold needs a name", ["hold(nil, 1)"] = "ublk.hold needs a name",
    ["hold('x', 'y')"] = "ublk.hold needs a time", ["release()"] =
    "ublk.release needs a name", ["wait {}"] = "ublk.wait needs a name", ["signal()"] =
    "ublk.signal needs a name", ["signal('x', 0)"] = "ublk.signal needs a whole number from 1",
    ["signal('x', 1.5)"] = "ublk.signal needs a whole", ["signal('x', '1')"] =
    "ublk.signal needs a whole" } do
    local log, results = writes("ublk." .. text)
    lu.assertStrMatches(log, ".*test%.lua:4: " .. said:gsub("%p", "%%%0") .. ".*")
    lu.assertEquals(results, { -5 })
  end
end

function M.test_release_lets_all_go_on_in_their_order()
  local log, results = writes([[
    if sector < 3 then
      local verdict = ublk.hold "x"
      print(sector, verdict)
      return verdict
    end
    print("released", ublk.release("x", "ENOSPC"), ublk.release("x", "EIO"))
    return true ]], { { "write", 0 }, { "write", 1 }, { "write", 2 }, { "write", 3 } })
  lu.assertEquals(log, "released 3 0\n0 ENOSPC\n1 ENOSPC\n2 ENOSPC\n")
  lu.assertEquals(results, { -28, -28, -28, 512 })
end

function M.test_a_hold_and_a_wait_may_have_a_limit()
  local log, results = writes([[
    if sector == 0 then
      local verdict = ublk.hold("x", "2s")
      print("hold", verdict, ublk.now())
      return verdict
    elseif sector == 1 then
      print("wait", ublk.wait(7, 1), ublk.now())
      print("released", ublk.release "x") -- it has one that waits
    elseif sector == 2 then
      ublk.sleep(3)
      print("late", ublk.release "x") -- nobody is left in it
      ublk.signal(7)
      print("taken", ublk.wait(7, 1)) -- the one that gave up took none
    end ]], { { "write", 0 }, { "write", 1 }, { "write", 2 } })
  lu.assertEquals(log, "wait ETIMEDOUT 1\nreleased 1\nhold nil 1\nlate 0\ntaken nil\n")
  lu.assertEquals(results, { 512, 512, 512 })
end

function M.test_a_hold_that_nobody_releases_times_out()
  local log, results = writes([[ return ublk.hold("x", 5) ]], { { "write", 0 } })
  lu.assertEquals(log, "")
  lu.assertEquals(results, { -110 })
end

function M.test_sleep_draws_from_a_range()
  local log = writes([[
    for i = 1, 200 do
      local start = ublk.now()
      ublk.sleep(i % 2 == 0 and { 0.25, 0.5 } or "250ms..500ms")
      local took = ublk.now() - start
      assert(took > 0.25 - 1e-9 and took < 0.5 + 1e-9, took)
    end
    local start = ublk.now()
    ublk.sleep { 2, 2 }
    print(ublk.now() - start > 1.999) ]])
  lu.assertEquals(log, "true\n")
end

function M.test_release_gives_any_verdict()
  local _, results, got = writes([[
    if sector < 3 then return ublk.hold(tostring(sector)) end
    ublk.release("0") ublk.release("1", true) ublk.release("2", -5) ]],
    { { "write", 0, 512, 5 }, { "write", 1, 512, 6 }, { "write", 2 }, { "write", 3 },
      { "read", 0, 1024 } })
  lu.assertEquals(results, { 512, 512, -5, 512, 1024 })
  lu.assertEquals(got.answers[1].order, 1) -- after the one that released it
end

function M.test_names_are_apart_and_may_be_held_again()
  local log = run([[
    ublk.spawn(function() for i = 1, 2 do print("a", ublk.hold "a") end end)
    ublk.spawn(function() print("b", ublk.hold "b") end)
    return { write = function(s)
      print(s, s < 2 and ublk.release("a", s) or ublk.release("b", s))
    end } ]], { { "write", 1, 512 }, { "flush" }, { "write", 0 }, { "flush" }, { "write", 2 } })
  lu.assertEquals(log, "1 0\n0 1\na 0\n2 1\nb 2\n")
end

function M.test_a_task_holds_and_releases()
  local log, results = run([[
    ublk.at(5, function() print(ublk.release("x", "EIO")) end)
    return { write = function() return ublk.hold "x" end } ]], { { "write" }, { "write" } })
  lu.assertEquals(log, "2\n")
  lu.assertEquals(results, { -5, -5 })
end

function M.test_the_end_of_the_device_ends_what_is_held()
  local log, results = writes("local verdict = ublk.hold 'x' print(verdict) return verdict",
    { { "write" }, { "read" }, { "write" } }, { stop_at = 2 })
  lu.assertEquals(log, "EIO\nEIO\n") -- the second does not even wait
  lu.assertEquals(results, { -5, 512, -5 })
end

function M.test_the_end_of_the_device_ends_waits_but_not_sleep()
  local log, _, got = writes([[
    if sector == 0 then print(ublk.wait 'x') else ublk.sleep(3) end ]],
    { { "write" }, { "write", 1 }, { "read" }, { "write" } }, { stop_at = 3 })
  lu.assertEquals(log, "EIO\nEIO\n")
  lu.assertEquals({ got.answers[1].time, got.answers[2].time }, { 0, 3 })
end

function M.test_signals_are_counted()
  local log, results = writes([[
    if sector == 0 then print "signal" ublk.signal "x" return end
    if sector == 1 then ublk.signal("x", 3) return end
    print("wait", sector)
    print("done", sector, ublk.wait "x") ]], { { "write", 0 }, { "write", 2 }, { "write", 3 },
    { "write", 4 }, { "write", 1 }, { "write", 5 }, { "write", 6 }, { "write", 0 } })
  lu.assertEquals(log, "signal\nwait 2\ndone 2 nil\n" -- which was signalled before
    .. "wait 3\nwait 4\ndone 3 nil\ndone 4 nil\n" -- two of three,
    .. "wait 5\ndone 5 nil\nwait 6\nsignal\ndone 6 nil\n") -- and the third is kept for the next
  lu.assertEquals(results[8], 512)
end

function M.test_a_lock_of_signals()
  local log = run([[
    ublk.signal "lock"
    return { write = function(s)
      ublk.wait "lock"
      print("in", s)
      ublk.sleep(1)
      print("out", s, ublk.now())
      ublk.signal "lock"
    end } ]], { { "write", 0 }, { "write", 1 }, { "write", 2 } }, { batch = 3 })
  lu.assertEquals(log, "in 0\nout 0 1\nin 1\nout 1 2\nin 2\nout 2 3\n")
end

function M.test_the_backing_itself()
  local log, results, got = run([[
    local b = ublk.backing
    return { layers = { { name = "seen", handler = function() end } },
      write = function(s, n, buf)
        local data = ffi.new("uint8_t[?]", 1024)
        print(b:read(s, n, data), data[0], data[n - 1])
        print(b:write(s, n, buf), b:write(s + 1, 512, buf), b:read(s, 1024, data), data[1023])
        print(b:write_zeroes(s, 512), b:read(s, 512, data), data[0])
        print(b:discard(s + 1, 512), b:flush())
        print(b:read(2 ^ 40, 512, data), b:write(2 ^ 40, 512, data), b:discard(2 ^ 40, 512))
        return true
      end } ]], { { "write", 8, 512, 7 }, { "read", 8 } })
  lu.assertEquals(log, "nil 0 0\nnil nil nil 7\nnil nil 0\nnil nil\nEIO EIO EIO\n")
  lu.assertEquals(results, { 512, 512 })
  lu.assertEquals(got.answers[2].first, 0)
  lu.assertEquals(got.layers[2].seen, 1) -- of the read alone
end

function M.test_the_backing_in_a_task()
  local log, _, got = run([[
    ublk.every(1, function()
      local data = ffi.new("uint8_t[512]", ublk.now())
      print(ublk.backing:write(0, 512, data))
    end)
    return { write = function() ublk.sleep(3.5) return true end, read = function() ublk.sleep(4) end
    } ]], { { "write" }, { "read", 0 } })
  lu.assertStrContains(log, "nil\nnil\nnil\n")
  lu.assertEquals(got.answers[2].first, 3)
end

function M.test_what_the_backing_is_asked_wrongly()
  for text, said in pairs {
    ["read(0, 512)"] = "backing:read needs a buffer",
    ["read(0, 512, 'text')"] = "backing:read needs a buffer",
    ["write(0, 1024, ffi.new 'uint8_t[512]')"] =
      "backing:write: a buffer of 512 bytes is too small for 1024",
    ["read(0, 512, ffi.typeof 'uint8_t[512]')"] = "backing:read needs a buffer",
    ["read(0, 512, ffi.new 'uint8_t *')"] = "backing:read needs a buffer",
    ["read(0, 512, 5LL)"] = "backing:read needs a buffer",
    ["read(0, 512, ffi.new 'uint8_t *[4]')"] =
      "backing:read: a buffer of 32 bytes is too small for 512",
    ["read(0, 65536 + 512, buf)"] = "backing:read: a buffer of 65536 bytes is too small for 66048",
    ["read(0, 65536, buf + 512)"] = "backing:read: a buffer of 65024 bytes is too small for 65536",
    ["hold(0/0)"] = "hold needs a name",
    ["read(0.5, 512, buf)"] = "backing:read needs a sector, and a length",
    ["read(-1, 512, buf)"] = "backing:read needs a sector",
    ["read(0, 100, buf)"] = "backing:read needs a sector",
    ["discard(0, 0)"] = "backing:discard needs a sector",
    ["write_zeroes(0, 2 ^ 32)"] = "backing:write_zeroes needs a sector",
    ["discard()"] = "backing:discard needs a sector",
  } do
    local log, results = writes((text:find "^hold" and "ublk." or "ublk.backing:") .. text)
    lu.assertStrMatches(log, ".*test%.lua:4: ublk%." .. said:gsub("%p", "%%%0") .. ".*")
    lu.assertEquals(results, { -5 })
  end
end

function M.test_a_yield_by_itself_is_no_wait()
  local log, results = writes([[
    if sector == 0 then coroutine.yield() elseif sector == 1 then ublk.sleep(1) coroutine.yield(5)
    end ]], { { "write", 0 }, { "write", 1 }, { "write", 2 } }, { batch = 3 })
  lu.assertEquals(results, { -5, -5, 512 })
  lu.assertStrContains(log, "a handler called coroutine.yield by itself; its request gets EIO")
  lu.assertStrContains(log, "(2 times in all)")
end

-- Sector 0 leaves its coroutine behind, sector 3 resumes it.
local function resumed(body, requests, more)
  return run(([[
    local saved
    return { write = function(sector)
      if sector == 0 then
        saved = coroutine.running()
        %s
      elseif sector == 3 then
        print(coroutine.resume(saved, 2, 1))
        ublk.sleep(2)
        print "slept"
        return "ENODATA"
      end
    end } ]]):format(body), requests or { { "write", 0 }, { "write", 1 }, { "write", 3 },
    { "write", 4 } }, more)
end

function M.test_the_end_lets_all_names_go_in_the_order_of_their_tags()
  local requests = {}
  for i = 1, 16 do requests[i] = { "write", i } end
  requests[17] = { "read" }
  for _, wait in ipairs { "hold", "wait" } do
    local _, _, got = writes(("return ublk.%s('name ' .. sector)"):format(wait), requests,
      { stop_at = 17 })
    for i = 1, 16 do lu.assertEquals(got.answers[i].order, i) end
  end
end

local names_kept = [[
  local wait = require "ublk.wait"
  local function names(fn, upvalue)
    for i = 1, 9 do
      local name, value = debug.getupvalue(fn, i)
      if name == upvalue then return next(value) == nil and "none" or "some" end
    end
  end
  local function tell()
    print(names(wait.release, "held"), names(wait.signal, "waiting"), names(wait.signal, "permits"))
  end
]]

function M.test_names_that_nobody_waits_for_are_forgotten()
  local log = run(names_kept .. [[
    ublk.spawn(function()
      ublk.hold("a", 1)
      ublk.wait("b", 1)
      ublk.signal "c"
      ublk.wait "c"
      tell()
      ublk.spawn(function() ublk.hold "a" ublk.wait "b" end)
      ublk.signal "c"
      ublk.sleep(1)
      tell()
      ublk.release "a"
      ublk.sleep(1)
      tell()
      ublk.signal "b"
      ublk.sleep(1)
      tell()
    end)
    return { write = function() ublk.sleep(10) end }
  ]], { { "write" } })
  lu.assertEquals(log, "none none none\nsome none some\nnone some some\nnone none some\n")
end

function M.test_a_script_cannot_wake_what_waits()
  local log, results, got = resumed "ublk.sleep(1) print('woken', ublk.now()) return 'ENOSPC'"
  lu.assertEquals(log, "true\nwoken 1\nslept\n")
  lu.assertEquals(results, { -28, 512, -61, 512 })
  lu.assertEquals({ got.ops.write.scripted, got.answers[3].time }, { 4, 2 })
end

function M.test_a_script_cannot_give_work_to_a_coroutine_without()
  local requests = { { "write", 0 }, { "write", 1 }, { "write", 3 }, { "write", 4 } }
  for batch = 1, 4 do
    for depth = batch, 4 do
      local _, results, got = resumed("ublk.sleep(0) return 'ENOSPC'", requests,
        { depth = depth, batch = batch })
      lu.assertEquals(results, { -28, 512, -61, 512 })
      lu.assertEquals(got.ops.write.scripted, 4)
    end
  end
end

function M.test_one_that_was_given_up_cannot_change_another_request()
  local log, results = resumed "print(coroutine.yield()) return 'ENOSPC'"
  lu.assertStrContains(log, "2 1\nfalse this request has been answered\nslept\n")
  lu.assertEquals(results, { -5, 512, -61, 512 })
  log, results = resumed "coroutine.yield() print(pcall(ublk.sleep, 1)) return 'ENOSPC'"
  lu.assertStrContains(log, "false ublk.sleep: only in a handler or a task")
  lu.assertEquals(results, { -5, 512, -61, 512 })
end

return lu.LuaUnit.new():runSuiteByInstances { { "wait", M } }
