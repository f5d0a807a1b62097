-- SPDX-License-Identifier: MIT
-- lua/ublk/operate.lua with eval.lua and holds.lua: what clients of a running
-- device ask of its script, asked here by a task of the script itself.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- What the requests are answered, a line each, when the script of this text serves a few writes:
-- asked when the first of them has come.
local function ask(script, ...)
  local requests = {}
  for i, words in ipairs { ... } do
    requests[i] = ("%q"):format(table.concat(words, "\0") .. "\0")
  end
  local got = rig { script = ([[
    local ublk = require "ublk"
    local function ask()
      for _, request in ipairs { %s } do
        print((require("ublk.engine").command(request)))
      end
    end
    ublk.after(1, ask)
    %s]]):format(table.concat(requests, ", "):gsub("\n", "n"), script),
    requests = { { "write" }, { "write", 8 }, { "write", 16 } }, batch = 1 }
  lu.assertEquals(got.load, 0, got.log)
  return (got.log:gsub("ublk%-lua: ", "")), got
end

local device = "\nreturn { size = '1M', write = function() ublk.sleep(2) %s end }"

local function answers(script, words, expected)
  lu.assertEquals(ask(script .. device:format "", words), expected .. "\n")
end

function M.test_eval_gives_values_as_json()
  for code, values in pairs {
    ["1 + 1"] = "2", ["'a', nil, true"] = '"a",null,true', ["return 5"] = "5", ["local x = 1"] = "",
    ["{ 1, 2, { a = 'b' } }"] = '[1,2,{"a":"b"}]', ["1/0, 0.5"] = '"inf",0.5',
    ["{ 1, 2, x = 3 }"] = '{"1":1,"2":2,"x":3}', ["'\195\164\255'"] = '"\\u00c3\\u00a4\\u00ff"',
    ["ublk.queue"] = "3", ["'a\\0b', { ['\\0'] = 1 }"] = [["a\\0b",{"\\0":1}]],
  } do
    answers("", { "eval", code }, ('{"ok":true,"values":[%s]}'):format(values))
  end
  local log = ask(device:format "", { "eval", "local t = {} t.t = t return t" })
  lu.assertStrContains(log, "(itself)")
end

-- What is shared is small for the script, and a million times as large when it is written out.
function M.test_eval_shows_a_part_of_what_is_large()
  for _, code in ipairs { "(function() local t = {} for _ = 1, 6 do local u = {} "
    .. "for i = 1, 999 do u[i] = t end t = u end return t end)()", "unpack({}, 1, 7000)",
    "(function() local t = {} for i = 1, 900 do t[i] = ('\\1'):rep(9999) end return t end)()" } do
    local log = ask(device:format "", { "eval", code })
    lu.assertStrContains(log, '{"ok":true,"values":[')
    lu.assertTrue(#log < 2 * 1024 * 1024, #log)
  end
end

function M.test_eval_tells_mistakes_with_their_place()
  for code, why in pairs {
    ["x ="] = "eval:1: unexpected symbol near '<eof>'",
    ["error 'no'"] = "eval:1: no", ["nosuch"] = "eval:1: no variable nosuch",
    ["error(setmetatable({}, { __tostring = error }))"] =
      "an error that cannot be told as text",
  } do
    local log = ask(device:format "", { "eval", code })
    lu.assertStrContains(log, why)
    lu.assertStrContains(log, '"ok":false')
  end
end

-- Each look at the clock is a second here.
function M.test_eval_ends_what_runs_too_long_whatever_it_catches()
  local script = "local wait, now = require 'ublk.wait', 0 "
    .. "wait.now = function() now = now + 1 return now end"
  for _, code in ipairs { "while true do end",
    "while true do pcall(function() while true do end end) end",
    "while true do pcall(coroutine.wrap(function() while true do end end)) end" } do
    lu.assertStrContains(ask(script .. device:format "", { "eval", code }),
      "eval:1: has run for 2 s, and the queue waits for it: ended")
  end
  lu.assertStrContains(ask(script .. device:format "", { "eval", "while true do end" },
    { "eval", "(function() for i = 1, 9999 do now = i end return now end)()" }), "[9999]")
end

function M.test_eval_sees_and_sets_locals_of_the_script()
  local log, got = ask([[
    local count, verdict, t = 0, nil, { 5 }
    local function fail() count = count + 1 return verdict end
    return { size = "1M", write = function() t[1] = 6 if count == 0 then ublk.sleep(2) end
      return fail() end }]], { "eval", "count, t[1]" }, { "eval", "verdict = 'ENOSPC'" },
    { "eval", "mine = 7" }, { "eval", "mine, verdict" }, { "eval", "device.size" })
  lu.assertEquals(log, '{"ok":true,"values":[0,6]}\n{"ok":true,"values":[]}\n'
    .. '{"ok":true,"values":[]}\n{"ok":true,"values":[7,"ENOSPC"]}\n{"ok":true,"values":["1M"]}\n')
  lu.assertEquals(got.results, { -28, -28, -28 })
end

function M.test_eval_leaves_the_librarys_own_variables_alone()
  local log, got = ask("local sleep = ublk.sleep\n"
    .. "return { size = '1M', write = function() sleep(2) return 'EIO' end }",
    { "eval", "queue" }, { "eval", "queue = 7" })
  lu.assertStrContains(log, "no variable queue: no function of the device uses one")
  lu.assertEquals(got.results, { -5, -5, -5 })
end

-- LuaJIT has compiled the value of a variable that nothing assigns to into the code.
function M.test_eval_sets_what_is_compiled()
  local got = rig { script = [[
    local ublk = require "ublk"
    local rate, n = 0, 0
    return { write = function()
      n = n + 1
      if n == 5000 then require("ublk.engine").command "eval\0rate = 1\0" end
      if ublk.random() < rate then return "EIO" end
    end }]], requests = { { "write" } }, rounds = 10000, batch = 1 }
  lu.assertEquals(got.load, 0, got.log)
  lu.assertTrue(got.ops.write.injected >= 5000 and got.ops.write.injected <= 5001)
end

function M.test_complete_names_what_eval_sees()
  local script = "local counted, counter = 1, { first = 1 }"
    .. device:format "print(counted, counter)"
  for word, names in pairs { count = '"counted","counter"', ["counter.f"] = '"counter.first"',
    ["ublk.hol"] = '"ublk.hold"', ["string.for"] = '"string.format"', ["nosuch.x"] = "",
    devic = '"device"' } do
    lu.assertStrContains(ask(script, { "complete", word }), ('"names":[%s]'):format(names))
  end
end

local options = [[local opt = ublk.options {
  rate = { type = "rate", default = 0, live = true }, errno = { type = "errno", live = true },
  size = { type = "size", default = "1M" } }
]]

function M.test_set_changes_live_options()
  local log = ask(options .. device:format "print(opt.rate, opt.errno)",
    { "set", "rate=1%", "errno=EIO" })
  lu.assertStrContains(log, '"options":{"errno":"EIO","rate":0.01,"size":1048576}')
  lu.assertStrContains(log, "\n0.01 EIO\n")
end

function M.test_set_refuses_all_or_nothing_as_the_command_line_does()
  for word, why in pairs { ["rat=1"] = 'unknown option \\"rat\\"; it has errno, rate, size',
    ["rate=2"] = "rate=2: needs a share from 0 to 1", ["rate"] = "are written key=value",
    ["size=2M"] = "size: cannot be changed while the device runs; its script does not say live" } do
    local log = ask(options .. device:format "print(opt.errno)", { "set", "errno=EIO", word })
    lu.assertStrContains(log, why)
    lu.assertStrContains(log, "\nnil\n")
  end
  lu.assertStrContains(ask(device:format "", { "set", "a=1" }), "it has none")
end

function M.test_holds_are_listed_and_released()
  local log, got = ask([[
    ublk.after(3, function()
      for _, request in ipairs { "hold", "release\0name\0ENOSPC", "release\00016\0true", "hold" } do
        print((require("ublk.engine").command(request .. "\0")))
      end
    end)
    return { size = "1M", write = function(sector)
      return ublk.hold(sector == 8 and "name" or 16)
    end }]], { "release", "x", "EAGAIN" }, { "release", "x", "no" })
  lu.assertEquals(log, [[
{"error":"EAGAIN: a verdict is an errno's name such as EIO, true, or nothing","ok":false}
{"error":"no: a verdict is an errno's name such as EIO, true, or nothing","ok":false}
{"ok":true,"holds":[{"count":2,"kind":"hold","name":"16"},{"count":1,"kind":"hold","name":"name"}]}
{"ok":true,"released":1}
{"ok":true,"released":2}
{"ok":true,"holds":[]}
]])
  lu.assertEquals(got.results, { 512, -28, 512 })
end

function M.test_mark_calls_the_scripts_function()
  local script = "return { size = '1M', write = function() ublk.sleep(2) end, mark = %s }"
  lu.assertEquals(ask(script:format "function(text) print('got', text) end", { "mark", "a b" }),
    'got a b\n{"ok":true,"marked":true}\n')
  lu.assertStrContains(ask(script:format "function() error 'bad' end", { "mark", "a" }), "mark: ")
  lu.assertEquals(ask(device:format "", { "mark", "a" }), '{"ok":true,"marked":false}\n')
  local got = rig { script = "return { size = '1M', mark = 5 }", requests = {} }
  lu.assertStrContains(got.log, "mark = 5: needs a function")
end

function M.test_an_unknown_command_is_told()
  lu.assertStrContains(ask(device:format "", { "frob" }), "unknown command")
end

return lu.LuaUnit.new():runSuiteByInstances { { "operate", M } }
