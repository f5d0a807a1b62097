-- SPDX-License-Identifier: MIT
-- lua/ublk/text.lua: whatever somebody has written becomes one short line.
local lu = require "luaunit"
local text = require "ublk.text"

local M = {}

function M.test_a_cut_leaves_characters_whole()
  lu.assertEquals(text.cut("abc", 3), "abc")
  lu.assertEquals(text.cut("abcd", 3), "abc")
  for most, left in pairs { [0] = "", "", "ä", "ä", "ä", "ä€", "ä€", "ä€", "ä€", "ä€𝄞" } do
    lu.assertEquals(text.cut("ä€𝄞!", most), left, most)
  end
  lu.assertEquals(#text.cut(("\128"):rep(20), 10), 10)
end

function M.test_a_line_is_one()
  for given, line in pairs { ["x.lua:1: no"] = "x.lua:1: no", ["a\nb"] = "a b", ["a  b"] = "a  b",
    ["a b\n\n"] = "a b", ["error loading module 'm' from file 'm.lua':\n\tm.lua:1: no"] =
      "error loading module 'm' from file 'm.lua': m.lua:1: no",
    ["x:1: module 'm' not found:\n\tno field\n\tno file"] = "x:1: module 'm' not found",
    ["a\\\n\t b\27c\0"] = "a\\ b?c?" } do
    lu.assertEquals(text.line(given), line)
  end
end

function M.test_a_line_is_not_long_and_is_made_fast()
  lu.assertEquals(text.line(("€"):rep(1e6)), ("€"):rep(333) .. "…")
  local start = os.clock()
  for _ = 1, 100 do text.line(("\n"):rep(1e6)) end
  lu.assertTrue(os.clock() - start < 2) -- all of the text would take 5 s and more
end

function M.test_values_are_shown_as_a_script_has_them()
  for shown, value in pairs { ["5"] = 5, ["true"] = true, ['"a"'] = "a", ["{}"] = {},
    ["{ 1, 2 }"] = { 1, 2 }, ['{ "1M", {…}, x = 5 }'] = { "1M", {}, x = 5 },
    ["{ 1, 2, 3, 4, … }"] = { 1, 2, 3, 4, 5 }, ["{ [table] = 1 }"] = { [{}] = 1 },
    ["a function"] = print, ["a cdata"] = 5LL, ['"\\"\\\\\\n\\t\\27"'] = '"\\\n\t\27',
    ['"' .. ("x"):rep(60) .. '…"'] = ("x"):rep(61) } do
    lu.assertEquals(text.show(value), shown)
  end
  lu.assertEquals(text.show(nil), "nil")
end

return lu.LuaUnit.new():runSuiteByInstances { { "text", M } }
