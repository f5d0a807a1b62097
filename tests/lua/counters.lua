-- SPDX-License-Identifier: MIT
-- lua/ublk/counters.lua: what scripts count stands in the struct that C reads,
-- wrong use is told with the script's line, and counting is machine code.
local lu = require "luaunit"
local ffi = require "ffi"
local jit_util = require "jit.util"
local vmdef = require "jit.vmdef"
local C = require "ublk.ffi"
local context = require "ublk.context"
local counters = require "ublk.counters"
local ublk = require "ublk"

local M = {}
local stats, keep
local first_of_all = ublk.counter "first" -- nobody has given a place to count in yet
local first_stats = context.stats -- it lives as long as this

function M.setUp()
  keep = ffi.new "struct ul_script_stats[1]"
  stats = keep + 0
  context.stats = stats
end

-- The message of an error that is placed in this file.
local function mistake(f, ...)
  local args = { ... }
  local ok, message = pcall(function() local result = f(unpack(args)) return result end)
  lu.assertFalse(ok)
  lu.assertStrContains(message, "counters.lua:")
  lu.assertStrMatches(message, "tests/lua/.*")
  return message
end

function M.test_a_counter_counts_where_c_looks()
  local torn, lost = ublk.counter "torn", ublk.counter "lost"
  torn:add()
  torn:add(4)
  lost:add(2 ^ 40)
  lu.assertEquals(torn.value, 5)
  lu.assertEquals(stats.counters, 2)
  lu.assertEquals(ffi.string(stats.counter[0].name), "torn")
  lu.assertEquals(stats.counter[0].value, 5)
  lu.assertEquals(stats.counter[1].value, 2 ^ 40)
  torn.value = 1.5
  lu.assertEquals(stats.counter[0].value, 1.5)
end

function M.test_a_name_is_one_object()
  lu.assertTrue(rawequal(ublk.counter "a", ublk.counter "a"))
  lu.assertTrue(rawequal(ublk.histogram "a", ublk.histogram "a"))
  lu.assertEquals(stats.counters, 1)
  lu.assertEquals(stats.histograms, 1)
end

function M.test_what_an_earlier_state_named_is_found_again()
  stats.counters, stats.layers, stats.histograms = 1, 1, 1
  stats.counter[0] = { 7, "old" }
  stats.layer[0] = { 9, 3, "device" }
  stats.histogram[0].name, stats.histogram[0].unit = "h", C.UL_UNIT_NS
  ublk.counter("old"):add()
  lu.assertEquals(stats.counter[0].value, 8)
  lu.assertEquals(counters.layer("device").seen, 9)
  lu.assertEquals(ublk.histogram("h", "time").unit, C.UL_UNIT_NS)
  lu.assertEquals({ stats.counters, stats.layers, stats.histograms }, { 1, 1, 1 })
end

function M.test_a_histogram_records_in_its_unit()
  local number, time, size = ublk.histogram "depth", ublk.histogram("gap", "time"),
    ublk.histogram("length", "size")
  number:record(3)
  number:record(5)
  time:record(0.0025)
  size:record(4096)
  lu.assertEquals({ stats.histogram[0].count, stats.histogram[0].sum }, { 2, 8 })
  lu.assertEquals({ number.unit, time.unit, size.unit },
    { C.UL_UNIT_COUNT, C.UL_UNIT_NS, C.UL_UNIT_BYTES })
  lu.assertEquals(stats.histogram[1].max, 2500000)
  lu.assertEquals(stats.histogram[2].max, 4096)
  lu.assertEquals(tonumber(stats.histogram[0].bucket[3]), 1)
  time:record(-1)
  lu.assertEquals(time.min, 0)
end

function M.test_names_that_are_none()
  for _, f in ipairs { ublk.counter, ublk.histogram } do
    lu.assertStrContains(mistake(f), "needs a name")
    lu.assertStrContains(mistake(f, ""), "needs a name")
    lu.assertStrContains(mistake(f, {}), "needs a name")
    lu.assertStrContains(mistake(f, ("x"):rep(48)), "too long, a name has at most 47 bytes")
    lu.assertStrContains(mistake(f, "a\nb"), "control characters")
    f(("x"):rep(47))
  end
  lu.assertEquals(ffi.string(stats.counter[0].name), ("x"):rep(47))
end

function M.test_more_than_there_is_room_for()
  for i = 1, C.UL_COUNTERS do ublk.counter("c" .. i) end
  lu.assertStrContains(mistake(ublk.counter, "more"),
    '"more" is one too many, there is room for 128')
  ublk.counter("c1"):add()
  for i = 1, C.UL_HISTOGRAMS do ublk.histogram("h" .. i) end
  lu.assertStrContains(mistake(ublk.histogram, "more"), "there is room for 32")
  for i = 1, C.UL_LAYERS do counters.layer("l" .. i) end
  local ok, message = pcall(counters.layer, "more")
  lu.assertFalse(ok)
  lu.assertEquals(message, 'layer "more" is one too many, there is room for 32')
end

function M.test_units()
  lu.assertStrContains(mistake(ublk.histogram, "h", "furlong"), 'unit furlong: needs "count"')
  ublk.histogram("h", "time")
  lu.assertStrContains(mistake(ublk.histogram, "h", "size"), '"h" is there already')
  lu.assertEquals(ublk.histogram("h").unit, C.UL_UNIT_NS)
end

function M.test_a_value_that_is_no_number()
  local message = mistake(function() ublk.histogram("h"):record("3") end)
  lu.assertStrContains(message, "histogram:record needs a number, not 3")
  lu.assertFalse((pcall(function() ublk.counter("c"):add {} end)))
  lu.assertFalse((pcall(function() return ublk.counter("c").valeu end)))
end

function M.test_layers_of_one_name_are_told_apart()
  counters.layer("flaky").seen = 1
  counters.layer("flaky").seen = 2
  counters.layer("flaky").hit = 3
  counters.layer("flaky 2").hit = 4
  local names = {}
  for i = 0, stats.layers - 1 do names[i + 1] = ffi.string(stats.layer[i].name) end
  lu.assertEquals(names, { "flaky", "flaky 2", "flaky 3", "flaky 2 2" })
  lu.assertEquals(stats.layer[2].hit, 3)
  counters.layer(("x"):rep(47))
  counters.layer(("x"):rep(47))
  lu.assertEquals(ffi.string(stats.layer[5].name), ("x"):rep(45) .. " 2")
  for _ = 1, 2 do counters.layer(("x"):rep(44) .. "€") end
  lu.assertEquals(ffi.string(stats.layer[7].name), ("x"):rep(44) .. " 2") -- no third of a euro
end

function M.test_without_a_place_to_count_in_it_works_too()
  for _, nowhere in ipairs { false, ffi.cast("struct ul_script_stats *", nil) } do
    context.stats = nowhere or nil
    local counter = ublk.counter "c"
    collectgarbage()
    counter:add(3)
    lu.assertEquals(ublk.counter("c").value, 3)
  end
  lu.assertEquals(stats.counters, 0)
  first_of_all:add(2)
  lu.assertEquals(first_stats.counter[0].value, 2)
end

-- Run f(i) a million times in a loop of its own. Returns what became of the loop (JFORL: compiled,
-- IFORL: given up on) and what LuaJIT gave up on once it was warm.
local function run(f)
  local loop = loadstring "local f, n = ... for i = 1, n do f(i) end"
  local aborts = {}
  local function on_trace(what, _, _, _, reason)
    if what == "abort" then aborts[#aborts + 1] = vmdef.traceerr[reason] or reason end
  end
  jit.flush()
  loop(f, 500000)
  jit.attach(on_trace, "trace")
  loop(f, 500000)
  jit.attach(on_trace)
  for pc = 1, jit_util.funcinfo(loop).bytecodes - 1 do
    local op = bit.band(jit_util.funcbc(loop, pc), 0xff)
    local name = vmdef.bcnames:sub(op * 6 + 1, op * 6 + 6):match "^[IJ]?FORL"
    if name then return name, aborts end
  end
end

function M.test_counting_compiles()
  local counter, time = ublk.counter "c", ublk.histogram("t", "time")
  local number = ublk.histogram "n"
  local became, aborts = run(function(i)
    counter:add()
    if i % 3 == 0 then counter:add(i) end
    ublk.counter("by name"):add()
    time:record(i * 1e-6)
    number:record(i)
  end)
  lu.assertEquals({ became, aborts }, { "JFORL", {} })
  lu.assertEquals(ublk.counter("by name").value, 1000000)
  lu.assertEquals({ time.count, number.max }, { 1000000, 500000 })
end

function M.test_the_check_sees_what_does_not_compile()
  local function hostile() end
  jit.off(hostile)
  lu.assertNotEquals(run(hostile), "JFORL")
end

return lu.LuaUnit.new():runSuiteByInstances { { "counters", M } }
