-- SPDX-License-Identifier: MIT
-- The table that a script returns: checks each field's kind, and tells C about
-- it in a struct ul_device. Ranges are checked by core/params.c. Errors are
-- plain strings that name the field.
local C = require "ublk.ffi"
local backings = require "ublk.backings"
local integrity = require "ublk.integrity"
local layers = require "ublk.layers"
local mistakes = require "ublk.mistakes"
local text = require "ublk.text"
local units = require "ublk.units"

local M = {}

local function size(name, value)
  local bytes, accepted = units.size(value)
  if not bytes then text.refuse(name, value, accepted) end
  return bytes
end

local function device_size(name, value)
  local bytes = size(name, value)
  if bytes < 1 then text.refuse(name, value, "a size above 0") end
  return bytes
end

-- A size that C holds in 32 bits; zero there means "not said", so it is refused here.
local function small_size(name, value)
  local bytes = size(name, value)
  if bytes < 1 or bytes >= 2 ^ 32 then text.refuse(name, value, "a size from 1 to 4G") end
  return bytes
end

-- One that may be 0: what it limits is not there.
local function size_or_none(name, value)
  local bytes = size(name, value)
  if bytes >= 2 ^ 32 then text.refuse(name, value, "a size from 0 to 4G") end
  return bytes
end

local function count(name, value)
  if type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > 2 ^ 31 then
    text.refuse(name, value, "a whole number from 1")
  end
  return value
end

-- C has a negative number for "never".
local function limit(name, value)
  if value == false then return -1 end
  local seconds = units.time(value)
  if not seconds or seconds < 0.1 or seconds > 86400 then
    text.refuse(name, value, "a time from 100ms to 24h, or false")
  end
  return seconds
end

local function boolean(name, value)
  if type(value) ~= "boolean" then text.refuse(name, value, "true or false") end
  return value
end

local choices = { [true] = C.UL_YES, [false] = C.UL_NO, auto = C.UL_AUTO }

local function choice(name, value)
  return choices[value] or text.refuse(name, value, 'true, false or "auto"')
end

local modes = {
  auto = C.UL_MODE_AUTO, copy = C.UL_MODE_COPY, get_data = C.UL_MODE_GET_DATA,
  user_copy = C.UL_MODE_USER_COPY, zero_copy = C.UL_MODE_ZERO_COPY, auto_buf = C.UL_MODE_AUTO_BUF,
}

local function mode(name, value)
  if not modes[value] then
    text.refuse(name, value,
      '"auto", "copy", "get_data", "user_copy", "zero_copy" or "auto_buf"')
  end
  return modes[value]
end

local recovers = {
  none = C.UL_RECOVER_NONE, fail = C.UL_RECOVER_FAIL, requeue = C.UL_RECOVER_REQUEUE,
  reissue = C.UL_RECOVER_REISSUE,
}

local function recover(name, value)
  return recovers[value] or text.refuse(name, value, '"none", "fail", "requeue" or "reissue"')
end

-- Script's field → field of struct ul_device, and how to read it.
local fields = {
  size = { "size", device_size },
  block_size = { "logical_block_size", small_size },
  physical_block_size = { "physical_block_size", small_size },
  io_min = { "io_min", small_size },
  io_opt = { "io_opt", small_size },
  max_io = { "max_io", small_size },
  chunk = { "chunk", small_size },
  virt_boundary = { "virt_boundary", small_size },
  dma_alignment = { "dma_alignment", small_size },
  max_segments = { "max_segments", count },
  max_segment_size = { "max_segment_size", small_size },
  segment_boundary = { "segment_boundary", small_size },
  max_discard = { "max_discard", size_or_none },
  max_write_zeroes = { "max_write_zeroes", size_or_none },
  discard_granularity = { "discard_granularity", small_size },
  discard_alignment = { "discard_alignment", size_or_none },
  queues = { "queues", count },
  threads = { "threads", count },
  depth = { "depth", count },
  read_only = { "read_only", boolean },
  rotational = { "rotational", boolean },
  volatile_cache = { "volatile_cache", boolean },
  fua = { "fua", boolean },
  partition_scan = { "partition_scan", boolean },
  huge_pages = { "huge_pages", boolean },
  batch = { "batch", choice },
  mode = { "mode", mode },
  recover = { "recover", recover },
  watchdog = { "watchdog", limit },
  integrity = { "integrity", integrity.read },
}

-- Another device below this one.
local function is_device(value) return type(value) == "table" and not backings.is_backing(value) end

local function set_backing(c, backing)
  if not backings.is_backing(backing) then
    text.refuse("backing", backing,
      "ublk.mem(), ublk.file(PATH), ublk.null() or a device's table")
  end
  backings.place(c, backing)
end

local function known_fields()
  local names = { "backing", "layers", "mark", "on_error", unpack(layers.fields) }
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

local function check_names(device)
  for name in pairs(device) do
    if not fields[name] and name ~= "on_error" and name ~= "backing" and name ~= "layers"
      and name ~= "mark" and not layers.is_field(name) then
      error(("unknown field %s; a device has %s"):format(text.show(name), known_fields()), 0)
    end
  end
end

-- What a device that is a backing says of itself holds for the whole, unless that says otherwise.
local function set_fields(c, device)
  if is_device(device.backing) then
    set_fields(c, device.backing)
  elseif device.backing ~= nil then
    set_backing(c, device.backing)
  end
  check_names(device)
  for name, known in pairs(fields) do -- also those that a metatable gives, as of its functions
    local field, read = unpack(known)
    if device[name] ~= nil then c[field] = read(name, device[name]) end
  end
  if device.mark ~= nil and type(device.mark) ~= "function" then
    text.refuse("mark", device.mark, "a function")
  end
  local policy = device.on_error
  if policy ~= nil and not mistakes.policies[policy] then
    text.refuse("on_error", policy, '"EIO", "pass" or "stop"')
  end
end

local function check_descent(device)
  local above = {}
  while is_device(device) do
    if above[device] then error("backing: a device is below itself", 0) end
    above[device], device = true, device.backing
  end
end

local function set_interest(c, stack)
  local mask, look = 0, 0
  for op in pairs(layers.op_name) do
    local interest = layers.interest(stack, op)
    if layers.looks(stack, op) then look = bit.bor(look, bit.lshift(1, op)) end
    if interest then mask = bit.bor(mask, bit.lshift(1, op)) end
    for i, range in ipairs(type(interest) == "table" and interest or {}) do
      c.ranges[op][i - 1].first, c.ranges[op][i - 1].limit = range[1], range[2]
      c.range_count[op] = i
    end
  end
  c.op_mask, c.look_mask = mask, look
end

--- on_error of `device`, or else of the next one below that says it.
function M.on_error(device)
  while is_device(device) do
    if device.on_error then return device.on_error end
    device = device.backing
  end
  return "EIO"
end

--- Check `device`, the table that a script returned, and fill `c`, a struct ul_device.
-- Returns its stack of layers, see layers.lua.
function M.describe(device, c)
  if type(device) ~= "table" then
    error(("the script returned %s; it must return a table, the device"):format(
      device == nil and "nothing" or "a " .. type(device)), 0)
  end
  -- A disk with a cache: FLUSH and FUA come through, and a script can see and fail them.
  c.volatile_cache, c.fua = true, true
  c.max_discard, c.max_write_zeroes = C.UL_MAX_DISCARD, C.UL_MAX_DISCARD
  c.partition_scan = true
  check_descent(device)
  set_fields(c, device)
  -- Memory: it keeps what is written, and a script that serves all itself does not pay for it.
  if c.backings == 0 then set_backing(c, backings.mem()) end
  local stack = layers.stack(device, is_device)
  set_interest(c, stack)
  return stack
end

return M
