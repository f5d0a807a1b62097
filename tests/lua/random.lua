-- SPDX-License-Identifier: MIT
-- lua/ublk/random.lua: ranges, and that a seed repeats its numbers.
local lu = require "luaunit"
local context = require "ublk.context"
local random = require "ublk.random"
local rig = _G.rig
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

-- What the layers of this list, told by their names, draw for five writes: a text for each.
local function draws(names, seed, head)
  local layers, requests = {}, {}
  for i, name in ipairs(names) do
    layers[i] = ("{ name = %q, write = draw %q }"):format(name, name)
  end
  for i = 1, 5 do requests[i] = { "write", i } end
  local got = rig { seed = seed, requests = requests, script = [[
    local ublk = require "ublk"
    ]] .. (head or "") .. [[
    local function draw(name)
      return function() print(name, ("%.17g"):format(ublk.random())) end
    end
    return { write = draw "own", layers = { ]] .. table.concat(layers, ", ") .. " } }" }
  lu.assertEquals(got.load, 0, got.log)
  local drawn = {}
  for name, number in got.log:gmatch "ublk%-lua: (%S+) (%S+)\n" do
    drawn[name] = (drawn[name] or "") .. " " .. number
  end
  return drawn
end

function M.test_each_layer_has_a_stream_of_its_own()
  local drawn = draws { "a", "b" }
  lu.assertNotEquals(drawn.a, drawn.b)
  lu.assertNotEquals(drawn.a, drawn.own)
  lu.assertEquals(draws { "a", "b" }, drawn)
  local other = draws({ "a", "b" }, 2)
  for name in pairs(drawn) do lu.assertNotEquals(other[name], drawn[name], name) end
end

function M.test_a_layer_more_or_less_leaves_the_others_as_they_are()
  local drawn = draws { "a", "b" }
  local more = draws { "new", "a", "c", "b" }
  lu.assertEquals({ more.own, more.a, more.b }, { drawn.own, drawn.a, drawn.b })
  lu.assertNotEquals(more.new, more.c)
  lu.assertEquals(draws({ "b" }).b, drawn.b)
  lu.assertEquals(draws({}).own, drawn.own)
end

function M.test_layers_of_one_name_have_two_streams()
  local drawn = draws { "x", "x" }
  local numbers_of_x, seen = {}, {}
  for number in drawn.x:gmatch "%S+" do
    lu.assertNil(seen[number])
    seen[number] = true
    numbers_of_x[#numbers_of_x + 1] = number
  end
  lu.assertEquals(#numbers_of_x, 10)
  -- The first of them is the one that it would be alone.
  lu.assertEquals((" " .. numbers_of_x[1]), draws({ "x" }).x:match "^ %S+")
end

function M.test_what_the_script_draws_as_it_loads_is_of_the_device()
  local drawn = draws { "a" }
  local later = draws({ "a" }, 1, "print(('load %.17g'):format(ublk.random()))\n")
  lu.assertEquals(later.a, drawn.a)
  local function first(text, n) return text:match("^" .. (" %S+"):rep(n)) end
  lu.assertEquals(later.load .. first(later.own, 4), drawn.own)
end

function M.test_randomseed_in_the_script_holds_for_all_layers()
  local drawn = draws({ "a" }, 1, "ublk.randomseed(7)\n")
  lu.assertEquals(draws({ "a" }, 2, "ublk.randomseed(7)\n"), drawn)
  lu.assertNotEquals(draws({ "a" }, 1, "ublk.randomseed(8)\n").a, drawn.a)
  lu.assertNotEquals(draws({ "a" }, 1).a, drawn.a)
end

function M.test_a_handler_that_waits_goes_on_with_its_own_stream()
  local script = [[
    local ublk = require "ublk"
    local function draw(name, wait)
      return function(sector)
        if wait then %s end
        print(name, sector, ("%%.17g"):format(ublk.random()))
      end
    end
    ublk.every(0.0001, function() ublk.random() end)
    return { layers = { { name = "a", write = draw("a", true) },
      { name = "b", write = draw "b" } } }
    ]]
  local function lines(wait)
    local requests, list = {}, {}
    for i = 1, 5 do requests[i] = { "write", i } end
    local got = rig { requests = requests, script = script:format(wait) }
    for line in got.log:gmatch "[^\n]+" do list[#list + 1] = line end
    table.sort(list)
    return list
  end
  local plain = lines ""
  lu.assertEquals(#plain, 10)
  lu.assertEquals(lines "ublk.sleep(sector / 1000)", plain)
end

return lu.LuaUnit.new():runSuiteByInstances { { "random", M } }
