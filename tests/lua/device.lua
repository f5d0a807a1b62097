-- SPDX-License-Identifier: MIT
-- lua/ublk/device.lua: from the table that a script returns to struct
-- ul_device, field by field. Layers and their ranges are in layers.lua.
local lu = require "luaunit"
local ffi = require "ffi"
local C = require "ublk.ffi"
local device = require "ublk.device"
local ublk = require "ublk"

local M = {}

local function describe(spec)
  local c = ffi.new "struct ul_device"
  device.describe(spec, c)
  return c
end

local function refused(spec)
  local ok, message = pcall(describe, spec)
  lu.assertFalse(ok)
  lu.assertIsString(message)
  lu.assertNotStrContains(message, "\n")
  return message
end

function M.test_sizes_go_to_their_fields()
  local c = describe { size = "1G", block_size = 4096, physical_block_size = "8K", max_io = "1M" }
  lu.assertEquals(c.size, 2 ^ 30)
  lu.assertEquals(c.logical_block_size, 4096)
  lu.assertEquals(c.physical_block_size, 8192)
  lu.assertEquals(c.max_io, 2 ^ 20)
end

function M.test_limits_go_to_their_fields()
  for _, name in ipairs { "io_min", "io_opt", "chunk", "virt_boundary", "dma_alignment",
    "max_segment_size", "segment_boundary", "discard_granularity", "discard_alignment",
    "max_discard", "max_write_zeroes" } do
    lu.assertEquals(describe({ [name] = "12k" })[name], 12288, name)
  end
  for _, name in ipairs { "max_discard", "max_write_zeroes", "discard_alignment" } do
    lu.assertEquals(describe({ [name] = 0 })[name], 0, name)
  end
end

function M.test_counts_go_to_their_fields()
  lu.assertEquals(describe({ max_segments = 8 }).max_segments, 8)
  local c = describe { queues = 3, threads = 2, depth = 64 }
  lu.assertEquals(c.queues, 3)
  lu.assertEquals(c.threads, 2)
  lu.assertEquals(c.depth, 64)
end

function M.test_booleans_go_to_their_fields()
  for _, name in ipairs { "read_only", "rotational", "volatile_cache", "fua",
    "partition_scan", "huge_pages" } do
    lu.assertEquals(describe({ [name] = true })[name], 1, name)
    lu.assertEquals(describe({ [name] = false })[name], 0, name)
  end
end

function M.test_a_choice_may_be_left_to_the_program()
  lu.assertEquals(describe({ batch = true }).batch, C.UL_YES)
  lu.assertEquals(describe({ batch = false }).batch, C.UL_NO)
  lu.assertEquals(describe({ batch = "auto" }).batch, C.UL_AUTO)
end

function M.test_metadata_goes_to_its_fields()
  local c = describe {}
  lu.assertEquals(c.integrity.wanted, 0)
  c = describe { integrity = {} }
  lu.assertEquals({ c.integrity.wanted, c.integrity.csum, c.integrity.ref_tag },
    { 1, C.UL_CSUM_CRC16, C.UL_AUTO })
  c = describe { integrity = { csum = "crc64", metadata_size = 32, pi_offset = 16, tag_size = 0,
    interval = "1k", max_segments = 3, ref_tag = false } }
  local found = c.integrity
  lu.assertEquals({ found.csum, found.metadata_size, found.pi_offset, found.tag_size,
    found.interval, found.max_segments, found.ref_tag },
    { C.UL_CSUM_CRC64, 32, 16, 0, 1024, 3, C.UL_NO })
  for name, number in pairs { none = 0, ip = 1, crc16 = 2, crc64 = 4 } do
    lu.assertEquals(describe({ integrity = { csum = name } }).integrity.csum, number)
  end
  -- Of a device below, as its other fields; and whole where one above says its own.
  lu.assertEquals(describe({ backing = { integrity = { tag_size = 2 } } }).integrity.tag_size, 2)
  c = describe { backing = { integrity = { tag_size = 2 } }, integrity = { interval = 512 } }
  lu.assertEquals({ c.integrity.tag_size, c.integrity.interval }, { 0, 512 })
end

function M.test_wrong_metadata_is_refused()
  for text, value in pairs {
    ["integrity = true"] = true,
    ["integrity: unknown field"] = { crc = "ip" },
    ["pi_offset, ref_tag, tag_size"] = { crc = "ip" },
    ['integrity.csum = "md5"'] = { csum = "md5" },
    ["integrity.metadata_size = 0"] = { metadata_size = 0 },
    ["integrity.tag_size = -1"] = { tag_size = -1 },
    ['integrity.interval = "many"'] = { interval = "many" },
    ["integrity.pi_offset = 4294967296"] = { pi_offset = 2 ^ 32 },
    ["integrity.max_segments = 1.5"] = { max_segments = 1.5 },
    ["integrity.ref_tag = 1"] = { ref_tag = 1 },
  } do
    lu.assertStrContains(refused { integrity = value }, text)
  end
end

function M.test_modes_are_told_by_name()
  local numbers = { auto = 0, copy = 1, get_data = 2, user_copy = 3, zero_copy = 4, auto_buf = 5 }
  for name, number in pairs(numbers) do lu.assertEquals(describe({ mode = name }).mode, number) end
  lu.assertStrContains(refused { mode = "fast" }, 'mode = "fast"')
  lu.assertStrContains(refused { mode = 3 }, '"user_copy"')
end

function M.test_ops_whose_data_is_looked_at_are_told()
  local function nothing(_, _, _, _) end
  local bits = { read = 1, write = 2, all = 0x4fc2f }
  lu.assertEquals(describe({}).look_mask, 0)
  lu.assertEquals(describe({ read = nothing }).look_mask, bits.read)
  lu.assertEquals(describe({ handler = nothing }).look_mask, bits.all)
  lu.assertEquals(describe({ handler = nothing, data = false }).look_mask, 0)
  lu.assertEquals(describe({ handler = nothing, data = false,
    layers = { { write = nothing } } }).look_mask, bits.write)
  lu.assertEquals(describe({ backing = { data = false, read = nothing },
    layers = { { write = nothing, data = false } } }).look_mask, 0)
  lu.assertEquals(describe({ layers = { { read = nothing, range = {} } } }).look_mask, 0)
end

function M.test_who_does_not_take_the_data_does_not_look_at_it()
  local function look(spec) return describe(spec).look_mask end
  lu.assertEquals(look { read = function(_, _) end, handler = function(_, _, _) end }, 0)
  lu.assertEquals(look { read = function(_, _, _) end, handler = function(_, _, _) end }, 1)
  lu.assertEquals(look { handler = function(_, _, _, _) end }, 0x4fc2f)
  lu.assertEquals(look { write = function(...) return ... end }, 2)
  lu.assertEquals(look { write = print }, 2) -- C takes what it wants
end

function M.test_what_is_not_said_is_left_open()
  local c = describe {}
  lu.assertEquals(c.size, 0)
  lu.assertEquals(c.queues, 0)
  lu.assertEquals(c.depth, 0)
  lu.assertEquals(c.max_io, 0)
  lu.assertEquals(c.logical_block_size, 0)
  lu.assertEquals(c.op_mask, 0)
  lu.assertEquals(c.read_only, 0)
  -- Memory, which keeps what is written.
  lu.assertEquals(c.backing[0].kind, C.UL_BACKING_MEM)
  -- A disk with a cache, so that flushes come.
  lu.assertEquals(c.volatile_cache, 1)
  lu.assertEquals(c.fua, 1)
  lu.assertEquals({ c.max_discard, c.max_write_zeroes }, { 2 ^ 30, 2 ^ 30 })
  lu.assertEquals(c.partition_scan, 1)
  lu.assertEquals(c.batch, C.UL_AUTO)
  lu.assertEquals(c.mode, C.UL_MODE_AUTO)
  lu.assertEquals(c.huge_pages, 0)
  lu.assertEquals({ c.chunk, c.virt_boundary, c.dma_alignment, c.max_segments }, { 0, 0, 0, 0 })
end

function M.test_backings_are_told_by_kind_and_path()
  lu.assertEquals(describe({ backing = ublk.mem() }).backing[0].kind, C.UL_BACKING_MEM)
  lu.assertEquals(describe({ backing = ublk.null() }).backing[0].kind, C.UL_BACKING_NULL)
  local c = describe { backing = ublk.file "/x/disk.img" }
  lu.assertEquals(c.backing[0].kind, C.UL_BACKING_FILE)
  lu.assertEquals(ffi.string(c.backing[0].path), "/x/disk.img")
  lu.assertEquals(c.backing[0].direct, 0)
end

function M.test_a_file_may_go_past_the_page_cache()
  lu.assertEquals(describe({ backing = ublk.file("/x", { direct = true }) }).backing[0].direct, 1)
  lu.assertEquals(describe({ backing = ublk.file("/x", { direct = false }) }).backing[0].direct, 0)
  for options, expected in pairs {
    [true] = "ublk.file: its options are a table, as in { direct = true }",
    [{ direct = 1 }] = "ublk.file: option direct = 1: there is direct = true or false",
    [{ drect = true }] = "ublk.file: option drect = true: there is direct = true or false",
  } do
    lu.assertErrorMsgContains(expected, ublk.file, "/x", options)
  end
end

function M.test_backings_over_others_become_a_list()
  local c = describe { backing = ublk.stripe{ ublk.mem "1M",
    ublk.stripe{ ublk.null(), ublk.file "/x", chunk = 512 } } }
  local found = {}
  for i = 0, c.backings - 1 do
    local spec = c.backing[i]
    local first = spec.children > 0 and spec.child
    found[i + 1] = { spec.kind, spec.size, spec.block, first, spec.children }
  end
  lu.assertEquals(found, {
    { C.UL_BACKING_STRIPE, 0, 65536, 1, 2 },
    { C.UL_BACKING_MEM, 2 ^ 20, 0, false, 0 },
    { C.UL_BACKING_STRIPE, 0, 512, 3, 2 },
    { C.UL_BACKING_NULL, 0, 0, false, 0 },
    { C.UL_BACKING_FILE, 0, 0, false, 0 },
  })
end

function M.test_what_cannot_lie_over_others_is_refused()
  for expected, legs in pairs {
    ["needs a list of backings, as in ublk.stripe{ ublk.mem(), ublk.mem() }"] = ublk.mem(),
    ["needs two backings at least"] = { ublk.mem() },
    ['[2] = "b.img": needs ublk.mem(), ublk.file(PATH) or another backing'] =
      { ublk.mem(), "b.img" },
    ['unknown option "chnk"'] = { ublk.mem(), ublk.mem(), chnk = 1 },
    ['chunk = 1000: needs a multiple of 512 bytes, at most 1G, as "64K"'] =
      { ublk.mem(), ublk.mem(), chunk = 1000 },
  } do
    local function make()
      local _ = ublk.stripe(legs)
    end
    lu.assertErrorMsgContains("device.lua:", make)
    lu.assertErrorMsgContains(expected, make)
  end
  lu.assertErrorMsgContains('ublk.mem: size = "x": needs a multiple of 512 bytes', ublk.mem, "x")
  local legs = {}
  for i = 1, 32 do legs[i] = ublk.mem() end
  lu.assertStrContains(refused { backing = ublk.stripe(legs) }, "more than 32 backings")
end

function M.test_a_cow_has_its_base_and_then_its_store()
  local c = describe {
    backing = ublk.cow(ublk.file "/base", { store = ublk.file "/x", block = "8K" }),
  }
  local kinds = { c.backing[0].kind, c.backing[1].kind, c.backing[2].kind }
  lu.assertEquals(kinds, { C.UL_BACKING_COW, C.UL_BACKING_FILE, C.UL_BACKING_FILE })
  lu.assertEquals(ffi.string(c.backing[1].path), "/base")
  lu.assertEquals(c.backing[0].block, 8192)
  c = describe { backing = ublk.cow(ublk.mem()) }
  lu.assertEquals({ c.backing[0].block, c.backing[2].kind }, { 65536, C.UL_BACKING_MEM })
  for expected, arguments in pairs {
    ["ublk.cow: base = false: needs ublk.mem(), ublk.file(PATH) or another backing"] = {},
    ['ublk.cow: store = "cow.img": needs'] = { ublk.mem(), { store = "cow.img" } },
    ['block = "2M": needs a multiple of 4K, at most 1M'] = { ublk.mem(), { block = "2M" } },
    ['block = 512: needs a multiple of 4K'] = { ublk.mem(), { block = 512 } },
    ['option "stor": there are store and block'] = { ublk.mem(), { stor = 1 } },
    ["its options are a table, as in { store"] = { ublk.mem(), ublk.mem() },
  } do
    lu.assertErrorMsgContains(expected, ublk.cow, unpack(arguments))
  end
end

function M.test_zones_go_to_their_fields()
  local c = describe {
    backing = ublk.zoned(ublk.stripe { ublk.mem(), ublk.mem() }, { zone_size = "1M",
      zone_capacity = "768K", conventional = 2, max_open = 3, max_active = 4, max_append = "128K",
      read_only = { 5 }, offline = { 7, 6 }, state = ublk.file "/zones" }),
  }
  local kinds = { c.backing[0].kind, c.backing[1].kind, c.backing[2].kind, c.backing[3].kind }
  lu.assertEquals(kinds,
    { C.UL_BACKING_ZONED, C.UL_BACKING_STRIPE, C.UL_BACKING_FILE, C.UL_BACKING_MEM })
  local z = c.zones
  lu.assertEquals({ c.backing[0].block, z.size, z.capacity, z.max_append },
    { 2 ^ 20, 2 ^ 20, 768 * 1024, 128 * 1024 })
  lu.assertEquals({ z.conventional, z.max_open, z.max_active, z.broken }, { 2, 3, 4, 3 })
  for i, zone in ipairs { { 5, 0 }, { 7, 1 }, { 6, 1 } } do
    lu.assertEquals({ z.list[i - 1].index, z.list[i - 1].offline }, zone)
  end
  lu.assertEquals(describe({ backing = ublk.zoned(ublk.mem()) }).zones.size, 2 ^ 26)
  lu.assertEquals(describe({ backing = ublk.mem() }).zones.size, 0)
end

function M.test_zones_of_the_wrong_kind_are_refused()
  for expected, options in pairs {
    ['zone_size = "3M": needs a power of two from 64K to 2G'] = { zone_size = "3M" },
    ['zone_size = "32K": needs a power of two'] = { zone_size = "32K" },
    ['zone_size = "4G": needs a power of two'] = { zone_size = "4G" },
    ['max_append = "1X": needs a multiple of 512 bytes, as "64M"'] = { max_append = "1X" },
    ["zone_capacity = 1000: needs a multiple of 512 bytes"] = { zone_capacity = 1000 },
    ["max_open = -1: needs a whole number from 0"] = { max_open = -1 },
    ['conventional = "2": needs a whole number'] = { conventional = "2" },
    ["offline = 3: needs a list of zones, as in { 3, 4 }"] = { offline = 3 },
    ["read_only: 1.5: needs the number of a zone, from 0"] = { read_only = { 1.5 } },
    ['state = "zones": needs ublk.file(PATH) or another backing'] = { state = "zones" },
    ['unknown option "zones"; there are conventional, max_active'] = { zones = 3 },
    ["its options are a table, as in { zone_size"] = ublk.mem(),
  } do
    local function make()
      local _ = ublk.zoned(ublk.mem(), options)
    end
    lu.assertErrorMsgContains("device.lua:", make)
    lu.assertErrorMsgContains(expected, make)
  end
  lu.assertErrorMsgContains("ublk.zoned: nil: needs ublk.mem()", ublk.zoned)
  local many = {}
  for i = 1, 257 do many[i] = i end
  lu.assertErrorMsgContains("more than 256 zones", ublk.zoned, ublk.mem(), { offline = many })
  local below = ublk.mirror { ublk.mem(), ublk.zoned(ublk.mem()) }
  lu.assertStrContains(refused { backing = below }, "ublk.zoned is the device's own")
end

function M.test_a_path_must_fit()
  local longest = ("x"):rep(4095)
  lu.assertEquals(ffi.string(describe({ backing = ublk.file(longest) }).backing[0].path), longest)
  lu.assertStrContains(refused { backing = ublk.file(longest .. "x") }, "a shorter path")
end

function M.test_each_op_has_its_bit()
  local bits = { read = 0, write = 1, flush = 2, discard = 3, write_zeroes = 5, zone_open = 10,
    zone_close = 11, zone_finish = 12, zone_append = 13, zone_reset_all = 14, zone_reset = 15,
    report_zones = 18 }
  local all = 0
  for name, n in pairs(bits) do
    lu.assertEquals(describe({ [name] = print }).op_mask, 2 ^ n, name)
    all = all + 2 ^ n
  end
  lu.assertEquals(describe({ read = print, flush = print }).op_mask, 5)
  lu.assertEquals(describe({ handler = print }).op_mask, all)
end

function M.test_wrong_kinds_name_the_field_and_the_value()
  local cases = {
    { { size = "1X" }, 'size = "1X": needs a size' },
    { { size = -1 }, "size = -1: needs a size" },
    { { size = true }, "size = true: needs a size" },
    { { block_size = 0 }, "block_size = 0: needs a size from 1 to 4G" },
    { { block_size = "4G" }, 'block_size = "4G": needs a size from 1 to 4G' },
    { { max_io = {} }, "max_io = {}: needs" },
    { { chunk = 0 }, "chunk = 0: needs a size from 1 to 4G" },
    { { max_discard = "4G" }, 'max_discard = "4G": needs a size from 0 to 4G' },
    { { max_segments = "8" }, 'max_segments = "8": needs a whole number' },
    { { partition_scan = "no" }, 'partition_scan = "no": needs true or false' },
    { { batch = "on" }, 'batch = "on": needs true, false or "auto"' },
    { { queues = 0 }, "queues = 0: needs a whole number from 1" },
    { { queues = 1.5 }, "queues = 1.5: needs a whole number" },
    { { queues = "2" }, 'queues = "2": needs a whole number' },
    { { depth = -1 }, "depth = -1: needs a whole number" },
    { { depth = 0 / 0 }, "needs a whole number" },
    { { depth = math.huge }, "depth = inf: needs a whole number" },
    { { read_only = 1 }, "read_only = 1: needs true or false" },
    { { fua = "yes" }, 'fua = "yes": needs true or false' },
    { { backing = "mem" }, 'backing = "mem": needs ublk.mem(), ublk.file(PATH), ublk.null() or '
      .. "a device's table" },
    { { backing = ublk.mem }, "backing = a function: needs" },
    { { name = "a\nb" }, 'name = "a\\nb": needs a name' },
    { { ["a\nb"] = 1 }, 'unknown field "a\\nb"; a device has ' },
    { { read = "EIO" }, 'read = "EIO": needs a function' },
    { { handler = {} }, "handler = {}: needs" },
    { { on_error = "EFOO" }, 'on_error = "EFOO": needs "EIO", "pass" or "stop"' },
  }
  for _, case in ipairs(cases) do lu.assertStrContains(refused(case[1]), case[2]) end
end

function M.test_a_size_of_nothing_is_refused()
  lu.assertStrContains(refused { size = 0 }, "size = 0: needs")
end

function M.test_an_unknown_field_lists_the_known_ones()
  local message = refused { syze = 1 }
  lu.assertStrContains(message, 'unknown field "syze"; a device has ')
  for _, name in ipairs { "backing", "block_size", "depth", "discard", "flush", "fua", "handler",
    "max_io", "queues", "read", "read_only", "rotational", "size", "volatile_cache", "write",
    "write_zeroes" } do
    lu.assertStrContains(message, name)
  end
  lu.assertStrContains(refused { 5 }, 'unknown field 1;')
end

function M.test_a_device_below_itself_is_refused()
  local one, two, three = {}, {}, {}
  one.backing, two.backing, three.backing = one, three, two
  for _, disk in ipairs { one, two, { backing = two } } do
    lu.assertEquals(refused(disk), "backing: a device is below itself")
  end
end

-- As C's fields are read, so are functions and ranges: those of a metatable are the disk's.
function M.test_fields_may_come_from_a_metatable()
  local function like(base, own) return setmetatable(own or {}, { __index = base }) end
  local base = { size = "1M", fua = false, read = print,
    backing = like { backing = ublk.null() } }
  local c = describe(like(base, { size = "2M" }))
  lu.assertEquals({ c.size, c.fua, c.op_mask, c.backing[0].kind }, { 2 ^ 21, 0, 1,
    C.UL_BACKING_NULL })
  lu.assertStrContains(refused(like { size = "1X" }), 'size = "1X": needs')
  lu.assertStrContains(refused(like { on_error = "EFOO" }), 'on_error = "EFOO": needs')
end

function M.test_a_script_returns_a_table()
  lu.assertEquals(refused(nil), "the script returned nothing; it must return a table, the device")
  lu.assertEquals(refused(5), "the script returned a number; it must return a table, the device")
  lu.assertStrContains(refused("x"), "a string")
end

return lu.LuaUnit.new():runSuiteByInstances { { "device", M } }
