-- SPDX-License-Identifier: MIT
-- lua/ublk/compose.lua: the way of a request through the functions of a stack
-- of layers, and which of them look at ranges.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- What a script of this text prints, and the results of `requests`.
local function run(script, requests)
  script = "local ublk = require 'ublk'\n" .. script
  local got = rig { script = script, requests = requests, batch = 1 }
  lu.assertEquals(got.load, 0, got.log)
  return got.log:gsub("ublk%-lua: ", ""), got.results, got
end

function M.test_an_ops_function_gets_the_request()
  local log, results = run([[
    return { write = function(sector, length, buf, req)
      print(sector, length, buf[0], req.sector, req.length)
      return "EIO"
    end } ]], { { "write", 8, 512, 7 }, { "read", 8 } })
  lu.assertEquals(log, "8 512 7 8 512\n")
  lu.assertEquals(results, { -5, 512 })
end

function M.test_handler_gets_the_ops_name_too()
  local log, results = run([[
    return { handler = function(op, sector, length, buf, req)
      print(op, sector, length, buf ~= nil, req.sector)
      return true
    end } ]], { { "discard", 8 }, { "write", 16, 1024 }, { "read", 24 }, { "flush" },
    { "write_zeroes", 32 } })
  lu.assertEquals(log, "discard 8 512 false 8\nwrite 16 1024 true 16\nread 24 512 true 24\n"
    .. "flush 0 0 false 0\nwrite_zeroes 32 512 false 32\n")
  lu.assertEquals(results, { 0, 1024, 512, 0, 0 })
end

function M.test_handler_comes_first_and_the_ops_own_function_where_it_says_nothing()
  local log, results = run([[
    return {
      handler = function(op, sector) print("handler", op) if sector == 1 then return true end end,
      read = function() print "read" return "ENODATA" end,
    } ]], { { "read" }, { "write" }, { "read", 1 } })
  lu.assertEquals(log, "handler read\nread\nhandler write\nhandler read\n")
  lu.assertEquals(results, { -61, 512, 512 })
end

function M.test_false_is_no_verdict_but_said_all_the_same()
  local log, results = run([[
    return { handler = function() return false end, read = function() print "read" end } ]],
    { { "read" } })
  lu.assertEquals(results, { -5 })
  lu.assertNotStrContains(log, "read\n")
  lu.assertStrContains(log, "returned a boolean")
end

return lu.LuaUnit.new():runSuiteByInstances { { "compose", M } }
