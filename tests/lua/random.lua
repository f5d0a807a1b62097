-- SPDX-License-Identifier: MIT
-- lua/ublk/random.lua: ranges, and that a seed repeats its numbers.
local lu = require "luaunit"
local context = require "ublk.context"
local random = require "ublk.random"
local ublk = require "ublk"

local M = {}

local function numbers(count, m, n)
  local list = {}
  for i = 1, count do list[i] = random.random(m, n) end
  return list
end

function M.test_without_arguments_it_is_from_0_up_to_1()
  random.seed(1)
  local sum = 0
  for _, number in ipairs(numbers(10000)) do
    lu.assertTrue(number >= 0 and number < 1)
    sum = sum + number
  end
  lu.assertAlmostEquals(sum / 10000, 0.5, 0.03) -- ten standard deviations
end

function M.test_whole_numbers_cover_their_range()
  random.seed(1)
  local seen = {}
  for _, number in ipairs(numbers(1000, 6)) do seen[number] = true end
  lu.assertEquals(seen, { true, true, true, true, true, true })
  seen = {}
  for _, number in ipairs(numbers(1000, -1, 1)) do seen[number] = (seen[number] or 0) + 1 end
  lu.assertEquals(seen[-1] + seen[0] + seen[1], 1000)
  lu.assertEquals(random.random(7, 7), 7)
  lu.assertEquals(random.random(1), 1)
end

function M.test_an_empty_range_is_an_error_of_the_caller()
  local ok, message = pcall(function() local n = random.random(2, 1) return n end)
  lu.assertFalse(ok)
  lu.assertStrContains(message, "ublk.random: the interval is empty")
  lu.assertStrContains(message, "random.lua:")
  lu.assertFalse((pcall(random.random, 0)))
end

function M.test_a_seed_repeats_its_numbers()
  random.seed(42)
  local first = numbers(100)
  random.seed(42)
  lu.assertEquals(numbers(100), first)
end

function M.test_seeds_and_queues_differ()
  random.seed(42)
  local first = numbers(10)
  random.seed(43)
  lu.assertNotEquals(numbers(10), first)
  context.queue = 1
  random.seed(42)
  context.queue = 0
  lu.assertNotEquals(numbers(10), first)
end

function M.test_a_64_bit_seed_is_taken_whole()
  random.seed(2 ^ 53)
  local first = numbers(10)
  random.seed(9007199254740992ULL)
  lu.assertEquals(numbers(10), first)
  random.seed(0xffffffffffffffffULL)
  lu.assertNotEquals(numbers(10), first)
end

function M.test_randomseed_starts_the_stream_again()
  ublk.randomseed(7)
  local first = numbers(10)
  ublk.randomseed(7)
  lu.assertEquals(numbers(10), first)
  random.seed(7)
  lu.assertEquals(numbers(10), first)
end

function M.test_randomseed_takes_whole_numbers()
  ublk.randomseed(0)
  ublk.randomseed(2 ^ 53)
  for _, seed in ipairs { -1, 0.5, 2 ^ 54, "7", 0 / 0, math.huge } do
    local ok, message = pcall(ublk.randomseed, seed)
    lu.assertFalse(ok, tostring(seed))
    lu.assertStrContains(message, "ublk.randomseed needs a whole number")
  end
end

return lu.LuaUnit.new():runSuiteByInstances { { "random", M } }
