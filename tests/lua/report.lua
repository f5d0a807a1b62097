-- SPDX-License-Identifier: MIT
-- lua/ublk/report.lua: a mistake is told the first time, and its count at the
-- end. The C side is replaced by a list of what would have been logged.
local lu = require "luaunit"

local logged = {}
package.loaded["ublk.ffi"] = {
  UL_LOG_ERROR = 0,
  ul_log = function(level, message) logged[#logged + 1] = { level, message } end,
}

local M = {}
local report

function M.setUp()
  logged = {}
  package.loaded["ublk.report"] = nil
  report = require "ublk.report"
end

local function texts()
  local list = {}
  for i, entry in ipairs(logged) do
    lu.assertEquals(entry[1], 0)
    list[i] = entry[2]
  end
  return list
end

function M.test_a_mistake_is_told_at_once()
  report.mistake "write: bad"
  lu.assertEquals(texts(), { "write: bad" })
end

function M.test_numbers_and_addresses_make_no_new_mistake()
  for _, message in ipairs { "x.lua:3: bad sector 8", "x.lua:3: bad sector 16",
    "x.lua:4: bad sector 8", "x.lua:5: table: 0x7f54dd0d0798", "x.lua:5: table: 0x7f54dd0d4e68" } do
    report.mistake(message)
  end
  lu.assertEquals(texts(), { "x.lua:3: bad sector 8", "x.lua:4: bad sector 8",
    "x.lua:5: table: 0x7f54dd0d0798" })
end

function M.test_the_same_is_only_counted_until_the_end()
  for _ = 1, 5 do report.mistake "write: bad" end
  lu.assertEquals(texts(), { "write: bad" })
  report.close()
  lu.assertEquals(texts(), { "write: bad", "write: bad (5 times in all)" })
end

function M.test_what_came_once_needs_no_count()
  report.mistake "write: bad"
  report.close()
  lu.assertEquals(texts(), { "write: bad" })
end

function M.test_the_trace_comes_with_the_first_alone()
  report.mistake("write: bad", "write: bad\nstack traceback: …")
  report.mistake("write: bad", "write: bad\nstack traceback: …")
  report.close()
  lu.assertEquals(texts(), { "write: bad\nstack traceback: …", "write: bad (2 times in all)" })
end

function M.test_counts_come_in_the_order_of_the_mistakes()
  for _ = 1, 2 do
    report.mistake "b"
    report.mistake "a"
  end
  report.close()
  lu.assertEquals(texts(), { "b", "a", "b (2 times in all)", "a (2 times in all)" })
end

function M.test_who_asks_gets_them_and_nothing_is_logged()
  report.quiet = true
  for _ = 1, 3 do report.mistake("write: bad", "write: bad\nstack traceback: …") end
  for i = 1, 60 do report.mistake("kind " .. string.rep("x", i)) end
  local list, more = report.take()
  lu.assertEquals(list[1],
    { message = "write: bad", trace = "write: bad\nstack traceback: …", count = 3 })
  lu.assertEquals({ #list, more }, { 50, 11 })
  report.close()
  lu.assertEquals(texts(), {})
  lu.assertEquals({ report.take() }, { {}, 0 })
end

return lu.LuaUnit.new():runSuiteByInstances { { "report", M } }
