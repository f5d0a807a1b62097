-- SPDX-License-Identifier: MIT
-- lua/ublk/units.lua: every form of a size, a time, a rate and a range that the
-- text promises, and what is none.
local lu = require "luaunit"
local units = require "ublk.units"

local M = {}

local function check_all(read, cases)
  for text, number in pairs(cases) do
    lu.assertAlmostEquals(read(text), number, math.abs(number) * 1e-12, tostring(text))
  end
end

local function check_refused(read, cases)
  for _, text in ipairs(cases) do
    local number, accepted = read(text)
    lu.assertNil(number, tostring(text))
    lu.assertStrContains(accepted, "a ")
  end
end

function M.test_sizes_are_powers_of_1024()
  check_all(units.size, {
    ["0"] = 0, ["4096"] = 4096, [4096] = 4096, [0] = 0,
    ["64K"] = 65536, ["64k"] = 65536, ["64KiB"] = 65536, ["64kib"] = 65536,
    ["1M"] = 2 ^ 20, ["1G"] = 2 ^ 30, ["1GiB"] = 2 ^ 30, ["1T"] = 2 ^ 40, ["8P"] = 2 ^ 53,
    ["1.5G"] = 1.5 * 2 ^ 30, ["0.5K"] = 512, ["512B"] = 512, ["1 M"] = 2 ^ 20,
  })
end

function M.test_what_is_no_size()
  check_refused(units.size, { "", " ", "K", "1X", "-1", "-1K", "1KB", "1e6x", "1..5G", ".", "one",
    "1K 2", "0x10", "1K1", -1, 0 / 0, math.huge, {}, true, print })
end

function M.test_a_size_is_whole_bytes()
  local number, accepted = units.size "0.3"
  lu.assertNil(number)
  lu.assertEquals(accepted, "a whole number of bytes")
  lu.assertNil((units.size "1.0001K"))
end

function M.test_a_size_given_as_a_number_is_whole_bytes_too()
  lu.assertNil((units.size(4096.5)))
end

function M.test_times_are_seconds()
  check_all(units.time, {
    ["0"] = 0, ["0.5"] = 0.5, [0.5] = 0.5, [0] = 0, ["10ns"] = 1e-8, ["10us"] = 1e-5,
    ["5ms"] = 0.005, ["2s"] = 2, ["1.5s"] = 1.5, ["1m"] = 60, ["1h"] = 3600, ["5 ms"] = 0.005,
  })
end

function M.test_what_is_no_time()
  check_refused(units.time, { "", "ms", "5x", "-5ms", "5MS", "5M", "5 m s", "1..2s", -1, 0 / 0,
    math.huge, {}, true })
end

function M.test_rates_are_shares_of_1()
  check_all(units.rate, {
    ["0"] = 0, ["1"] = 1, [0] = 0, [1] = 1, [0.01] = 0.01, ["0.01"] = 0.01, ["1%"] = 0.01,
    ["100%"] = 1, ["0%"] = 0, ["0.1%"] = 0.001, ["1:100"] = 0.01, ["1:1"] = 1, ["0:5"] = 0,
  })
end

function M.test_what_is_no_rate()
  check_refused(units.rate, { "", "%", "1%%", "101%", "-1%", "1.01", "-0.1", "2:1", "1:0", "0:0",
    "1:", ":1", "nan", "inf", "x", 2, -1, 0 / 0, {}, true })
end

function M.test_ranges_are_two_numbers_of_bytes()
  local all = math.huge
  local cases = {
    ["0..1M"] = { 0, 2 ^ 20 }, ["4096..8192"] = { 4096, 8192 }, ["1.5K..2K"] = { 1536, 2048 },
    ["1M.."] = { 2 ^ 20, all }, ["..1M"] = { 0, 2 ^ 20 }, ["0.."] = { 0, all }, all = { 0, all },
    ["64K+4K"] = { 65536, 69632 }, ["0+512"] = { 0, 512 }, [" 1K .. 2K "] = { 1024, 2048 },
    ["1K + 1K"] = { 1024, 2048 },
  }
  for text, range in pairs(cases) do lu.assertEquals(units.range(text), range, text) end
  lu.assertEquals(units.range("0..1K", "size"), { 0, 1024 })
end

function M.test_a_range_may_be_a_table()
  for _, value in ipairs { { 0, 4096 }, { "0", "4K" }, { 0, "4K" } } do
    lu.assertEquals(units.range(value), { 0, 4096 })
  end
  local parsed = units.range "1M.."
  lu.assertEquals(units.range(parsed), parsed)
  lu.assertEquals(units.range({ "1ms", 2 }, "time"), { 0.001, 2 })
end

function M.test_what_is_no_range()
  check_refused(units.range, { "", "..", "1M", "1M-2M", "x..1M", "1M..x", "-1..5", "1K+", "+1K",
    "1..2..3", "1K+1K+1K", "0.5..1", 4096, 0 / 0, {}, { 0 }, { 0, 1, 2 }, { 0, -1 }, { "x", 1 },
    { math.huge, math.huge }, { { 0, 1 }, { 2, 3 } }, { from = 0, to = 1 }, true, print })
end

function M.test_a_range_ends_after_it_begins()
  for _, value in ipairs { "2M..1M", { 2, 1 } } do
    local range, accepted = units.range(value)
    lu.assertNil(range)
    lu.assertEquals(accepted, "a range that does not end before it begins")
  end
  for _, value in ipairs { "1M..1M", "..0", "4K+0", { 8, 8 } } do
    local range, accepted = units.range(value)
    lu.assertNil(range)
    lu.assertEquals(accepted, "a range that is not empty")
  end
end

function M.test_ranges_of_times_have_both_their_ends()
  local cases = {
    ["2ms..10ms"] = { 0.002, 0.01 }, ["..1s"] = { 0, 1 }, ["1m.."] = { 60, math.huge },
    ["5ms"] = { 0.005, 0.005 }, [0.5] = { 0.5, 0.5 }, [1e-5] = { 1e-5, 1e-5 }, ["0"] = { 0, 0 },
    ["1s..1s"] = { 1, 1 }, ["0.5..1.5"] = { 0.5, 1.5 }, ["1s+500ms"] = { 1, 1.5 },
  }
  for text, range in pairs(cases) do lu.assertEquals(units.range(text, "time"), range, text) end
  for _, text in ipairs { "", "..", "1K..2K", "2s..1s", "x", -1, {}, true } do
    lu.assertNil((units.range(text, "time")), tostring(text))
  end
end

function M.test_a_range_is_of_sizes_or_times()
  lu.assertErrorMsgContains('of is "size" or "time"', units.range, "1..2", "rate")
end

return lu.LuaUnit.new():runSuiteByInstances { { "units", M } }
