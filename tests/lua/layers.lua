-- SPDX-License-Identifier: MIT
-- lua/ublk/layers.lua: the flat stack of a device, its backings and their
-- layers; and which ops and sectors it tells C that it wants to see.
local lu = require "luaunit"
local ffi = require "ffi"
local C = require "ublk.ffi"
local compose = require "ublk.compose"
local device = require "ublk.device"
local layers = require "ublk.layers"
local ublk = require "ublk"

local M = {}

local function f() end

-- The stack of `spec`, and the struct that C gets.
local function describe(spec)
  local c = ffi.new "struct ul_device"
  return device.describe(spec, c), c
end

local function names(spec)
  local list = {}
  for i, layer in ipairs(describe(spec)) do
    lu.assertEquals(layer.index, i - 1)
    list[i] = layer.name
  end
  return table.concat(list, ", ")
end

local function refused(spec)
  local ok, message = pcall(describe, spec)
  lu.assertFalse(ok)
  lu.assertNotStrContains(message, "\n")
  return message
end

-- The ranges of `op` as C gets them, in sectors.
local function ranges(spec, op)
  local _, c = describe(spec)
  local list = {}
  for i = 0, c.range_count[op or C.UL_OP_READ] - 1 do
    local range = c.ranges[op or C.UL_OP_READ][i]
    list[i + 1] = { range.first, range.limit }
  end
  return list
end

function M.test_a_device_is_the_topmost_layer()
  lu.assertEquals(names {}, "device")
  lu.assertEquals(names { read = f }, "device")
  lu.assertEquals(names { name = "disk", read = f }, "disk")
end

function M.test_layers_follow_in_their_order()
  lu.assertEquals(names { layers = { { name = "a" }, { read = f }, { name = "c", read = f } } },
    "device, a, layer 2, c")
  lu.assertEquals(names { layers = {} }, "device")
end

function M.test_a_backing_with_functions_is_below_all_layers()
  local deep = { name = "deep", read = f, backing = ublk.null() }
  local nested = { write = f, layers = { { name = "x", read = f } }, backing = deep }
  local stack, c = describe { layers = { { name = "a", read = f } }, backing = nested }
  local list = {}
  for i, layer in ipairs(stack) do list[i] = layer.name end
  lu.assertEquals(list, { "device", "a", "backing", "x", "deep" })
  lu.assertEquals(c.backing[0].kind, C.UL_BACKING_NULL)
  lu.assertIs(stack[3].write, f)
  lu.assertNil(stack[3].read)
end

function M.test_a_backing_without_functions_is_no_layer()
  lu.assertEquals(names { read = f, backing = { size = "1M", layers = { { name = "x" } } } },
    "device, x")
end

function M.test_what_a_backing_says_holds_unless_the_device_says_otherwise()
  local _, c = describe { depth = 3, backing = { size = "1M", depth = 7, fua = false,
    backing = { size = "2M", queues = 2, backing = ublk.null() } } }
  lu.assertEquals({ c.size, c.depth, c.queues, c.fua }, { 2 ^ 20, 3, 2, 0 })
end

function M.test_functions_of_each_layer()
  local g = function() end
  local stack = describe { handler = f, flush = g, layers = { { discard = g, data = false } } }
  lu.assertIs(stack[1].handler, f)
  lu.assertIs(stack[1].flush, g)
  lu.assertIsTrue(stack[1].data)
  lu.assertIs(stack[2].discard, g)
  lu.assertNil(stack[2].handler)
  lu.assertIsFalse(stack[2].data)
end

function M.test_a_layer_that_is_false_is_left_out()
  local stack = describe { layers = { { name = "a", read = f }, false, { name = "c", read = f } } }
  lu.assertEquals({ stack[2].name, stack[3].name, #stack }, { "a", "c", 3 })
end

function M.test_an_empty_range_is_nowhere()
  local stack, c = describe { layers = { { range = {}, read = f, flush = f } } }
  lu.assertIsFalse(layers.interest(stack, C.UL_OP_READ))
  lu.assertIsTrue(layers.interest(stack, C.UL_OP_FLUSH)) -- it has no place
  lu.assertEquals(c.op_mask, bit.lshift(1, C.UL_OP_FLUSH))
end

function M.test_wrong_layers_are_named_by_their_place()
  local cases = {
    { { layers = 5 }, "layers = 5: needs a list of tables" },
    { { layers = { 5 } }, "layers[1] = 5: needs a table" },
    { { layers = { {}, { raed = f } } }, 'layers[2]: unknown field "raed"; a layer has data, ' },
    { { layers = { read = f } }, "layers: a list of tables, without holes, is needed" },
    { { layers = { [0] = {} } }, "layers: a list of tables, without holes, is needed" },
    { { layers = { { range = { from = 0 } } } }, "a list of ranges without holes" },
    { { layers = { { range = { nil, "0..1M" } } } }, "a list of ranges without holes" },
    { { layers = { { read = 5 } } }, "layers[1].read = 5: needs a function" },
    { { layers = { { name = 5 } } }, "layers[1].name = 5: needs a name" },
    { { layers = { { name = "" } } }, 'layers[1].name = "": needs a name' },
    { { layers = { { name = ("x"):rep(48) } } }, ": needs a name of at most 47 bytes" },
    { { layers = { { data = 1 } } }, "layers[1].data = 1: needs true or false" },
    { { layers = { { range = "x" } } }, 'layers[1].range = "x": needs a range such as 0..1M' },
    { { layers = { { range = { "0..1M", "x" } } } }, ": needs a range such as" },
    { { layers = { { range = "1M..1K" } } }, "needs a range that does not end before it begins" },
    { { layers = { { size = "1M" } } }, 'layers[1]: unknown field "size"' },
    { { range = 7 }, "range = 7: needs a range" },
    { { range = { "1K..2K", 5 } }, "range[2] = 5: needs a range such as" },
    { { layers = { { range = { { 0, 512 }, { "2K", "1K" } } } } },
      'layers[1].range[2] = { "2K", "1K" }: needs a range that does not end before it begins' },
    { { backing = { raed = f } }, 'unknown field "raed"; a device has ' },
    { { backing = { read = 5 } }, "backing.read = 5: needs a function" },
    { { backing = { layers = { {}, { write = 1 } } } }, "backing.layers[2].write = 1: needs" },
    { { backing = { backing = { layers = { { write = 1 } } } } },
      "backing.backing.layers[1].write = 1: needs" },
  }
  for _, case in ipairs(cases) do lu.assertStrContains(refused(case[1]), case[2]) end
end

function M.test_there_is_a_most_of_layers()
  local list = {}
  for i = 1, C.UL_LAYERS - 1 do list[i] = {} end
  lu.assertEquals(#describe { layers = list }, C.UL_LAYERS)
  list[C.UL_LAYERS] = {}
  lu.assertEquals(refused { layers = list }, "more than 31 layers")
end

function M.test_ops_are_those_of_all_layers()
  local function mask(spec)
    local _, c = describe(spec)
    return c.op_mask
  end
  local read, write, flush = 2 ^ C.UL_OP_READ, 2 ^ C.UL_OP_WRITE, 2 ^ C.UL_OP_FLUSH
  lu.assertEquals(mask { layers = { { read = f }, { flush = f } } }, read + flush)
  lu.assertEquals(mask { write = f, backing = { read = f } }, read + write)
  lu.assertEquals(mask { layers = { { name = "idle" } } }, 0)
  lu.assertEquals(mask { layers = { { handler = f } } }, mask { handler = f })
end

function M.test_each_way_to_write_a_range()
  for _, range in ipairs { "4K..8K", "4K+4K", { 4096, 8192 }, { "4K", "8K" }, { 4096, "8K" },
    { "4K..8K" }, { { "4K", 8192 } }, ublk.range "4K..8K" } do
    lu.assertEquals(ranges { range = range, read = f }, { { 8, 16 } })
  end
  lu.assertEquals(ranges { range = "4K..", read = f }, { { 8, math.huge } })
  lu.assertEquals(ranges { range = "..4K", read = f }, { { 0, 8 } })
  lu.assertEquals(ranges { range = "all", read = f }, { { 0, math.huge } })
  lu.assertEquals(ranges { range = "100..200", read = f }, { { 100 / 512, 200 / 512 } })
end

function M.test_a_list_of_ranges()
  lu.assertEquals(ranges { range = { "64K..128K", "4K+512" }, read = f },
    { { 8, 9 }, { 128, 256 } })
  lu.assertEquals(ranges { range = { { 0, 512 }, "1K..2K", { "8K", "9K" } }, read = f },
    { { 0, 1 }, { 2, 4 }, { 16, 18 } })
end

function M.test_c_gets_the_union()
  local function two(a, b)
    return ranges { layers = { { range = a, read = f }, { range = b, handler = f } } }
  end
  lu.assertEquals(two("0..4K", "8K..12K"), { { 0, 8 }, { 16, 24 } })
  lu.assertEquals(two("8K..12K", "0..4K"), { { 0, 8 }, { 16, 24 } })
  lu.assertEquals(two("0..4K", "4K..12K"), { { 0, 24 } }) -- what touches is joined
  lu.assertEquals(two("0..16K", "4K..8K"), { { 0, 32 } })
  lu.assertEquals(two("8K..", "0..12K"), { { 0, math.huge } })
end

function M.test_one_layer_without_range_sees_everything()
  local spec = { layers = { { range = "0..4K", read = f }, { read = f }, { write = f } } }
  lu.assertEquals(ranges(spec), {})
  local _, c = describe(spec)
  lu.assertEquals(c.op_mask, 3)
  -- But one that has no say in reads does not.
  lu.assertEquals(ranges { layers = { { range = "0..4K", read = f }, { write = f } } },
    { { 0, 8 } })
end

function M.test_a_range_says_nothing_of_a_flush()
  local spec = { range = "0..4K", handler = f }
  lu.assertEquals(ranges(spec, C.UL_OP_FLUSH), {})
  for _, op in ipairs { C.UL_OP_READ, C.UL_OP_WRITE, C.UL_OP_DISCARD, C.UL_OP_WRITE_ZEROES } do
    lu.assertEquals(ranges(spec, op), { { 0, 8 } })
  end
  local _, c = describe(spec)
  lu.assertEquals(bit.band(c.op_mask, 4), 4)
end

function M.test_more_ranges_than_c_has_places_for_are_everywhere()
  local list = {}
  for i = 1, C.UL_RANGES do list[i] = { i * 4096, i * 4096 + 512 } end
  lu.assertEquals(#ranges { range = list, read = f }, C.UL_RANGES)
  list[#list + 1] = "1G.."
  lu.assertEquals(ranges { range = list, read = f }, {})
  local _, c = describe { range = list, read = f }
  lu.assertEquals(c.op_mask, 1)
end

-- What a chain, called with a read of `sector`, says in place of C, which would not have asked.
local function ask(spec, sector, first)
  local stack = describe(spec)
  local stats = ffi.new("struct ul_layer_stats[?]", #stack)
  local chain = compose.chain(stack, C.UL_OP_READ, first or 0,
    { stats = stats + 0, after = error, forwarded = error })
  return chain(sector, 512, nil, ffi.new "struct ul_view")
end

local function eio() return "EIO" end
local function enospc() return "ENOSPC" end

function M.test_a_layer_does_not_look_where_c_has_looked()
  lu.assertEquals(ask({ range = "4K..8K", read = eio }, 0), "EIO")
  -- The same ranges in another order, and for each of two layers.
  lu.assertEquals(ask({ layers = { { range = { "8K..12K", "0..4K" }, read = eio },
    { range = { "0..2K", "8K..12K", "2K+2K" }, read = enospc } } }, 100), "EIO")
end

function M.test_a_layer_looks_where_c_has_not()
  -- C looks at the union of both, or at nothing.
  local two = { layers = { { range = "4K..8K", read = eio }, { range = "16K..", read = enospc } } }
  lu.assertNil(ask(two, 0))
  lu.assertEquals(ask(two, 8), "EIO")
  lu.assertEquals(ask(two, 32), "ENOSPC")
  local open = { layers = { { range = "4K..8K", read = eio }, { read = enospc } } }
  lu.assertEquals(ask(open, 0), "ENOSPC")
  lu.assertEquals(ask(open, 15), "EIO")
  lu.assertEquals(ask(open, 16), "ENOSPC")
  -- As many as that of a layer, but more.
  lu.assertNil(ask({ layers = { { range = "0..4K", read = eio },
    { range = "4K..8K", write = eio }, { range = "4K..8K", read = f } } }, 8))
  -- From a lower layer on: C has looked for the upper one, too.
  lu.assertEquals(ask(two, 32, 2), "ENOSPC")
  lu.assertNil(ask({ layers = { { range = "4K..8K", read = eio } } }, 0, 1))
end

function M.test_layers_handle_ops_that_they_name()
  lu.assertTrue(layers.handles({ handler = f }, C.UL_OP_DISCARD))
  lu.assertTrue(layers.handles({ discard = f }, C.UL_OP_DISCARD))
  lu.assertFalse(layers.handles({ read = f }, C.UL_OP_DISCARD))
end

return lu.LuaUnit.new():runSuiteByInstances { { "layers", M } }
