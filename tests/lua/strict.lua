-- SPDX-License-Identifier: MIT
-- lua/ublk/strict.lua: what is not declared is an error with its place, in a
-- script, in its modules and in coroutines; what is there is found at machine
-- speed, and installed libraries go on as they are.
local lu = require "luaunit"

local installed = os.tmpname() -- a file's name; the folder beside it is "installed" libraries
os.remove(installed)
package.path = package.path .. ";" .. installed .. "/?.lua"
local strict = require "ublk.strict"
strict.install()

local M = {}

-- What a chunk of this name raises.
local function raised(text, name, ...)
  local ok, err = pcall(assert(loadstring(text, name or "=disk.lua")), ...)
  lu.assertFalse(ok, text)
  return err
end

local function passes(text, name)
  return assert(loadstring(text, name or "=disk.lua"))()
end

function M.test_reading_is_an_error_with_name_place_and_advice()
  lu.assertEquals(raised "local a = 1\nreturn a + countr",
    'disk.lua:2: undeclared variable countr: write "local countr" before its first use, or is it '
      .. 'misspelt?')
  lu.assertStrContains(raised "return _G.countr", "disk.lua:1: undeclared variable countr")
end

function M.test_assigning_is_an_error_and_does_nothing()
  lu.assertEquals(raised "\n\ncount = 1",
    'disk.lua:3: assignment to undeclared variable count: write "local count"')
  lu.assertStrContains(raised "function helper() end", 'write "local helper"')
  lu.assertStrContains(raised "count = nil", 'write "local count"')
  lu.assertNil(rawget(_G, "count"))
end

function M.test_names_that_are_no_text_are_told_too()
  lu.assertStrContains(raised "return _G[5]", "undeclared variable 5")
  lu.assertStrContains(raised "return _G[{}]", "undeclared variable table: ")
end

function M.test_coroutines_and_modules_are_held_to_it()
  lu.assertStrContains(raised("local co = coroutine.wrap(function() return countr end)\nco()",
    "@./disk.lua"), "./disk.lua:1: undeclared variable countr")
  lu.assertStrContains(raised("return countr", "@/somewhere/beside/module.lua"), "module.lua:1: ")
end

function M.test_rawset_and_rawget_are_the_way_around()
  passes "rawset(_G, 'mine', 5)"
  lu.assertEquals(passes "mine = mine + 1 return mine", 6)
  lu.assertNil(passes "return rawget(_G, 'yours')")
  passes "rawset(_G, 'mine', nil)"
end

function M.test_standard_names_are_not_to_be_assigned_to()
  local function said(text) return strict.overwrites(assert(loadstring(text, "=disk.lua"))) end
  lu.assertEquals(said "local a = 1\ntype = 'x'",
    "disk.lua:2: assignment to type, one of Lua's own names: use a local, or another name")
  lu.assertStrContains(said "coroutine = {}", "disk.lua:1: assignment to coroutine, ")
  lu.assertStrContains(said "\n\nfunction print() end", "disk.lua:3: assignment to print, ")
  lu.assertStrContains(said [[local f = 5
    return { g = function()
      local function h() return f end
      return function() error = h end
    end } ]], "disk.lua:4: assignment to error, ")
  for _, text in ipairs { "local type = 5 type = 6", "t.type = 5", "typ = 5", "return type",
    "return { 5, 5LL, 'x', { 'type' }, function(...) return ... end }", "" } do
    lu.assertNil(said(text), text)
  end
end

function M.test_a_chunk_with_globals_of_its_own_may_use_any_name()
  for _, text in ipairs { "module('log', package.seeall) function error() end",
    "setfenv(1, {}) return function() type = 1 end" } do
    lu.assertNil(strict.overwrites(assert(loadstring(text))), text)
  end
end

function M.test_modules_may_keep_standard_names_alive()
  package.path = package.path .. ";" .. installed .. "-own/?.lua"
  os.execute("mkdir -p " .. installed .. "-own")
  local file = assert(io.open(installed .. "-own/old_module.lua", "w"))
  file:write "unpack = unpack or table.unpack\nbit = require 'bit'\nreturn 5"
  file:close()
  local loaded, result = pcall(require, "old_module")
  os.execute("rm -r " .. installed .. "-own")
  lu.assertTrue(loaded, result)
end

function M.test_installed_libraries_do_as_they_like()
  local name = "@" .. installed .. "/lib.lua"
  lu.assertNil(passes("return rawlen", name))
  lu.assertEquals(passes("of_lib = 5 return of_lib", name), 5)
  passes("of_lib = nil", name)
  lu.assertStrContains(raised("return rawlen", "@" .. installed .. ".lua"), "undeclared variable")
end

function M.test_functions_of_c_do_too()
  passes "module 'old_style'"
  lu.assertIsTable(rawget(_G, "old_style"))
  rawset(_G, "old_style", nil)
end

function M.test_modules_of_luajit_load()
  for _, name in ipairs { "v", "dump", "p", "zone", "bc", "dis_x64", "vmdef", "util", "opt" } do
    lu.assertIsTable(require("jit." .. name), name)
  end
end

-- A loop that takes globals in each round must become machine code as it would without.
function M.test_what_is_there_compiles()
  local stops, aborts = 0, 0
  local function on_trace(what)
    if what == "stop" then stops = stops + 1 end
    if what == "abort" then aborts = aborts + 1 end
  end
  rawset(_G, "total", 0)
  jit.flush()
  jit.attach(on_trace, "trace")
  passes "for i = 1, 10000 do total = total + math.floor(tonumber(i)) end"
  jit.attach(on_trace)
  lu.assertEquals(rawget(_G, "total"), 50005000)
  rawset(_G, "total", nil)
  lu.assertEquals(aborts, 0)
  lu.assertTrue(stops > 0)
end

return lu.LuaUnit.new():runSuiteByInstances { { "strict", M } }
