-- SPDX-License-Identifier: MIT
-- Backings as a script makes them: plain descriptions, which may lie over others
-- as a tree. What they do is in C (core/backend*.c), which gets them as the
-- list ul_device.backing.
local ffi = require "ffi"
local C = require "ublk.ffi"
local text = require "ublk.text"
local units = require "ublk.units"

local M = {}

local Backing = {}
Backing.__index = Backing

--- Is `value` what one of the functions below has returned?
function M.is_backing(value) return getmetatable(value) == Backing end

local function new(kind, fields)
  fields.kind = kind
  return setmetatable(fields, Backing)
end

-- The errors below are of the script's line that called ublk.NAME.
local LEVEL = 4

local function refuse(name, message, ...)
  error(("ublk.%s: " .. message):format(name, ...), LEVEL)
end

-- A size in bytes, `option` of ublk.NAME, or nil where it is not said.
local function size_of(name, option, value, most)
  if value == nil then return end
  local bytes = units.size(value)
  if not bytes or bytes < 512 or bytes % 512 ~= 0 or bytes > (most or math.huge) then
    refuse(name, "%s = %s: needs a multiple of 512 bytes%s, as \"64K\"", option, text.show(value),
      most and ", at most 1G" or "")
  end
  return bytes
end

--- Sparse memory, zeros at first; as large as the device, if `size` is not said.
function M.mem(size) return new(C.UL_BACKING_MEM, { size = size_of("mem", "size", size) }) end

--- Writes vanish, reads give anything.
function M.null(size) return new(C.UL_BACKING_NULL, { size = size_of("null", "size", size) }) end

local function file_options(how)
  if how ~= nil and type(how) ~= "table" then
    refuse("file", "its options are a table, as in { direct = true }")
  end
  return how or {}
end

--- A file or block device of the host; its size is the device's unless the device says one.
-- how: { direct = true } goes past the host's page cache, but for requests not aligned for it.
function M.file(path, how)
  if type(path) ~= "string" or path == "" then error("ublk.file needs a path", 2) end
  local direct = false
  for name, value in pairs(file_options(how)) do
    if name ~= "direct" or type(value) ~= "boolean" then
      error(("ublk.file: option %s = %s: there is direct = true or false"):format(
        tostring(name), text.show(value)), 2)
    end
    direct = value
  end
  return new(C.UL_BACKING_FILE, { path = path, direct = direct })
end

-- Those of the list `legs`, which has the named options of `allowed` beside them.
local function legs_of(name, legs, allowed)
  if type(legs) ~= "table" or M.is_backing(legs) then
    refuse(name, "needs a list of backings, as in ublk.%s{ ublk.mem(), ublk.mem() }", name)
  end
  local children = {}
  for i, leg in ipairs(legs) do
    if not M.is_backing(leg) then
      refuse(name, "[%d] = %s: needs ublk.mem(), ublk.file(PATH) or another backing", i,
        text.show(leg))
    end
    children[i] = leg
  end
  for key in pairs(legs) do
    if not children[key] and not allowed[key] then
      refuse(name, "unknown option %s", text.show(key))
    end
  end
  if #children < 2 then refuse(name, "needs two backings at least") end
  return children
end

--- Over the backings in the list `legs`, `chunk` bytes on each in turn.
function M.stripe(legs)
  local children = legs_of("stripe", legs, { chunk = true })
  return new(C.UL_BACKING_STRIPE,
    { children = children, block = size_of("stripe", "chunk", legs.chunk or "64K", 2 ^ 30) })
end

--- Over the backings in the list `legs`, all on each of them.
function M.mirror(legs)
  return new(C.UL_BACKING_MIRROR, { children = legs_of("mirror", legs, {}) })
end

local function cow_options(how)
  if how ~= nil and (type(how) ~= "table" or M.is_backing(how)) then
    refuse("cow", "its options are a table, as in { store = ublk.file \"cow.img\" }")
  end
  for name in pairs(how or {}) do
    if name ~= "store" and name ~= "block" then
      refuse("cow", "option %s: there are store and block", text.show(name))
    end
  end
  return how or {}
end

-- A power of two is not needed, but whole pages, as the store's map is written in.
local function cow_block(value)
  local bytes = units.size(value)
  if not bytes or bytes < 4096 or bytes > 2 ^ 20 or bytes % 4096 ~= 0 then
    refuse("cow", "block = %s: needs a multiple of 4K, at most 1M", text.show(value))
  end
  return bytes
end

--- Over `base`, which is only read: what is written goes to `how.store`, in blocks of `how.block`.
function M.cow(base, how)
  how = cow_options(how)
  local store = how.store or M.mem()
  for name, backing in pairs { base = base or false, store = store } do
    if not M.is_backing(backing) then
      error(("ublk.cow: %s = %s: needs ublk.mem(), ublk.file(PATH) or another backing"):format(
        name, text.show(backing)), 2)
    end
  end
  return new(C.UL_BACKING_COW,
    { children = { base, store }, block = cow_block(how.block or "64K") })
end

local function zone_bytes(option, value)
  local bytes = units.size(value)
  if not bytes or bytes < 512 or bytes >= 2 ^ 32 or bytes % 512 ~= 0 then
    refuse("zoned", "%s = %s: needs a multiple of 512 bytes, as \"64M\"", option, text.show(value))
  end
  return bytes
end

local function zone_size(option, value)
  local bytes = units.size(value)
  if not bytes or bytes < 2 ^ 16 or bytes > 2 ^ 31 or math.frexp(bytes) ~= 0.5 then
    refuse("zoned", "%s = %s: needs a power of two from 64K to 2G", option, text.show(value))
  end
  return bytes
end

local function is_count(value)
  return type(value) == "number" and value % 1 == 0 and value >= 0 and value < 2 ^ 32
end

local function zone_count(option, value)
  if not is_count(value) then
    refuse("zoned", "%s = %s: needs a whole number from 0", option, text.show(value))
  end
  return value
end

local function zone_list(option, value)
  local list = type(value) == "table" and value or refuse("zoned",
    "%s = %s: needs a list of zones, as in { 3, 4 }", option, text.show(value))
  for key, index in pairs(list) do
    if not is_count(index) or type(key) ~= "number" then
      refuse("zoned", "%s: %s: needs the number of a zone, from 0", option, text.show(index))
    end
  end
  return list
end

local function zone_state(option, value)
  if not M.is_backing(value) then
    refuse("zoned", "%s = %s: needs ublk.file(PATH) or another backing", option, text.show(value))
  end
  return value
end

local zone_options = {
  zone_size = zone_size, zone_capacity = zone_bytes, max_append = zone_bytes,
  conventional = zone_count, max_open = zone_count, max_active = zone_count,
  read_only = zone_list, offline = zone_list, state = zone_state,
}

--- Over `data`: a disk of zones, each written from its beginning on. `how` says which, and where
-- their state is kept: zone_size, zone_capacity, conventional, max_open, max_active, max_append,
-- read_only, offline, state.
function M.zoned(data, how)
  if not M.is_backing(data) then
    error(("ublk.zoned: %s: needs ublk.mem(), ublk.file(PATH) or another backing"):format(
      text.show(data)), 2)
  end
  if how ~= nil and (type(how) ~= "table" or M.is_backing(how)) then
    error("ublk.zoned: its options are a table, as in { zone_size = \"64M\" }", 2)
  end
  local zones = { zone_size = 2 ^ 26, read_only = {}, offline = {} }
  for name, value in pairs(how or {}) do
    local read = zone_options[name]
    if not read then
      error(("ublk.zoned: unknown option %s; there are %s"):format(text.show(name),
        "conventional, max_active, max_append, max_open, offline, read_only, state, "
        .. "zone_capacity, zone_size"), 2)
    end
    zones[name] = read(name, value)
  end
  if #zones.read_only + #zones.offline > C.UL_BROKEN_ZONES then
    error(("ublk.zoned: more than %d zones read_only or offline"):format(C.UL_BROKEN_ZONES), 2)
  end
  return new(C.UL_BACKING_ZONED,
    { children = { data, zones.state }, block = zones.zone_size, zones = zones })
end

local function place_zones(c, zones)
  c.size, c.capacity = zones.zone_size, zones.zone_capacity or 0
  c.max_append, c.conventional = zones.max_append or 0, zones.conventional or 0
  c.max_open, c.max_active = zones.max_open or 0, zones.max_active or 0
  c.broken = 0
  for _, list in ipairs { zones.read_only, zones.offline } do
    for _, index in ipairs(list) do
      c.list[c.broken].index, c.list[c.broken].offline = index, list == zones.offline and 1 or 0
      c.broken = c.broken + 1
    end
  end
end

-- `backing` becomes number `index` of `c`, and those below it follow all that are there already.
local function place(c, index, backing)
  local spec, children = c.backing[index], backing.children or {}
  if c.backings + #children > C.UL_BACKINGS then
    error(("backing: more than %d backings, one over another"):format(C.UL_BACKINGS), 0)
  end
  if backing.path and #backing.path >= ffi.sizeof(spec.path) then
    text.refuse("backing", backing.path, "a shorter path")
  end
  if backing.zones and index > 0 then
    error("backing: ublk.zoned is the device's own, nothing lies over it", 0)
  end
  spec.kind, spec.size, spec.block = backing.kind, backing.size or 0, backing.block or 0
  spec.path, spec.direct = backing.path or "", backing.direct and 1 or 0
  spec.child, spec.children = c.backings, #children
  c.backings = c.backings + #children
  for i, child in ipairs(children) do place(c, spec.child + i - 1, child) end
end

--- Tell `c`, a struct ul_device, that `backing` is its own.
function M.place(c, backing)
  c.backings = 1
  place(c, 0, backing)
  if backing.zones then place_zones(c.zones, backing.zones) else c.zones.size = 0 end
end

return M
