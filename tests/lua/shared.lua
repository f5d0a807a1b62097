-- SPDX-License-Identifier: MIT
-- lua/ublk/shared.lua: the fields as one Lua state has them. tests/unit/shared.c
-- has the threads.
local lu = require "luaunit"
local jit_util = require "jit.util"
local vmdef = require "jit.vmdef"
local ublk = require "ublk"

local M = {}

local function mistake(f)
  local ok, message = pcall(f)
  lu.assertFalse(ok)
  lu.assertStrMatches(message, "tests/lua/shared.lua:%d+: ublk.shared.*")
  return message
end

function M.test_fields_are_read_and_assigned()
  local s = ublk.shared { hits = 0, limit = 100 }
  lu.assertEquals({ s.hits, s.limit }, { 0, 100 })
  s.hits = -7
  s.limit = 2 ^ 53
  lu.assertEquals({ s.hits, s.limit }, { -7, 2 ^ 53 })
end

function M.test_operations()
  local s = ublk.shared { a = 5 }
  lu.assertEquals(s:add "a", 6)
  lu.assertEquals(s:add("a", -10), -4)
  lu.assertTrue(s:cas("a", -4, 3))
  lu.assertFalse(s:cas("a", -4, 9))
  lu.assertEquals(s.a, 3)
  lu.assertEquals({ s:max("a", 2), s:max("a", 8) }, { 3, 8 })
  lu.assertEquals({ s:min("a", 9), s:min("a", -1), s.a }, { 8, -1, -1 })
end

function M.test_a_sum_beyond_what_is_exact_is_refused()
  local s = ublk.shared { edge = 2 ^ 53 - 1 }
  lu.assertEquals(s:add "edge", 2 ^ 53)
  lu.assertStrContains(mistake(function() s:add("edge", 1) end),
    "ublk.shared: edge: with 1 more it is not within 2^53 any more")
  mistake(function() s:add("edge", 2 ^ 53) end)
  lu.assertEquals(s:add("edge", -2 ^ 53), 0)
  s.edge = -2 ^ 53
  mistake(function() s:add("edge", -1) end)
  lu.assertEquals(s.edge, -2 ^ 53)
end

function M.test_the_same_field_is_the_same_number_and_the_first_sets_it()
  local one, two = ublk.shared { same = 1, own = 2 }, ublk.shared { same = 10 }
  lu.assertEquals(two.same, 1)
  two:add("same", 5)
  lu.assertEquals(one.same, 6)
  lu.assertStrContains(mistake(function() return two.own end), 'no field "own"; there is same')
end

function M.test_unknown_fields_are_named()
  local s = ublk.shared { hits = 0, misses = 0 }
  lu.assertStrContains(mistake(function() return s.hit end),
    'no field "hit"; there is hits, misses')
  mistake(function() s.hit = 1 end)
  lu.assertStrContains(mistake(function() s:add("mises") end), '"mises"')
  mistake(function() s:cas("x", 0, 1) end)
  mistake(function() s:max("x", 0) end)
  mistake(function() s:min(nil, 0) end)
end

function M.test_values_are_whole_numbers()
  local s = ublk.shared { n = 3 }
  for _, value in ipairs { 0.5, "1", 2 ^ 54, 0 / 0, math.huge, -math.huge, true, {} } do
    lu.assertStrContains(mistake(function() s.n = value end), "n: " .. tostring(value))
    mistake(function() s:add("n", value) end)
    mistake(function() s:max("n", value) end)
    mistake(function() s:min("n", value) end)
    mistake(function() s:cas("n", value, 0) end)
    mistake(function() s:cas("n", 3, value) end)
    mistake(function() ublk.shared { n = value } end)
  end
  mistake(function() s.n = nil end)
  lu.assertEquals(s.n, 3)
end

function M.test_fields_have_names_that_are_no_methods()
  mistake(function() ublk.shared { 1 } end)
  mistake(function() ublk.shared { [""] = 1 } end)
  mistake(function() ublk.shared { [("x"):rep(48)] = 1 } end)
  lu.assertStrContains(mistake(function() ublk.shared { max = 1 } end), "max is a method")
  for _, fields in ipairs { {}, "hits", 3 } do
    lu.assertStrContains(mistake(function() ublk.shared(fields) end), "needs its fields")
  end
  mistake(function() ublk.shared() end)
end

function M.test_it_compiles()
  local s = ublk.shared { jit = 0, most = 0, flag = 0 }
  local aborts = {}
  local function on_trace(what, _, _, _, reason)
    if what == "abort" then aborts[#aborts + 1] = vmdef.traceerr[reason] or reason end
  end
  local function loop(count)
    for i = 1, count do
      s:add "jit"
      s:max("most", i)
      if s:cas("flag", 0, i) then s.flag = 0 end
      if s.most < i then s:add("jit", 2) end
    end
  end
  jit.flush()
  loop(500000)
  jit.attach(on_trace, "trace")
  loop(500000)
  jit.attach(on_trace)
  lu.assertEquals(aborts, {})
  lu.assertEquals({ s.jit, s.most, s.flag }, { 1000000, 500000, 0 })
  local names = {}
  for pc = 1, jit_util.funcinfo(loop).bytecodes - 1 do
    local op = bit.band(jit_util.funcbc(loop, pc), 0xff)
    names[#names + 1] = vmdef.bcnames:sub(op * 6 + 1, op * 6 + 6)
  end
  lu.assertStrContains(table.concat(names), "JFORL") -- the loop is machine code
end

-- The last test, which leaves no place.
function M.test_z_more_than_there_is_room_for()
  lu.assertStrContains(mistake(function()
    for i = 1, 1000 do ublk.shared { ["field" .. i] = 0 } end
  end), "is one too many, there is room for 256")
end

return lu.LuaUnit.new():runSuiteByInstances { { "shared", M } }
