-- SPDX-License-Identifier: MIT
-- The table that a script returns: checks each field's kind, and tells C about
-- it in a struct ul_device. Ranges are checked by core/params.c. Errors are
-- plain strings that name the field.
local ffi = require "ffi"
local C = require "ublk.ffi"
local units = require "ublk.units"

local M = {}

-- Op functions of a device table and the op that each serves.
M.ops = {
  read = C.UL_OP_READ,
  write = C.UL_OP_WRITE,
  flush = C.UL_OP_FLUSH,
  discard = C.UL_OP_DISCARD,
  write_zeroes = C.UL_OP_WRITE_ZEROES,
}

local function fail(name, value, accepted)
  local shown = type(value) == "string" and ("%q"):format(value) or tostring(value)
  error(("%s = %s: needs %s"):format(name, shown, accepted), 0)
end

local function size(name, value)
  local bytes, accepted = units.size(value)
  if not bytes then fail(name, value, accepted) end
  return bytes
end

local function device_size(name, value)
  local bytes = size(name, value)
  if bytes < 1 then fail(name, value, "a size above 0") end
  return bytes
end

-- A size that C holds in 32 bits; zero there means "not said", so it is refused here.
local function small_size(name, value)
  local bytes = size(name, value)
  if bytes < 1 or bytes >= 2 ^ 32 then fail(name, value, "a size from 1 to 4G") end
  return bytes
end

local function count(name, value)
  if type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value > 2 ^ 31 then
    fail(name, value, "a whole number from 1")
  end
  return value
end

local function boolean(name, value)
  if type(value) ~= "boolean" then fail(name, value, "true or false") end
  return value
end

-- Script's field → field of struct ul_device, and how to read it.
local fields = {
  size = { "size", device_size },
  block_size = { "logical_block_size", small_size },
  physical_block_size = { "physical_block_size", small_size },
  max_io = { "max_io", small_size },
  queues = { "queues", count },
  depth = { "depth", count },
  read_only = { "read_only", boolean },
  rotational = { "rotational", boolean },
  volatile_cache = { "volatile_cache", boolean },
  fua = { "fua", boolean },
}

local Backing = {}
Backing.__index = Backing

--- A backing as ublk.mem() and its like make it: a kind of enum ul_backing, and its path.
function M.backing(kind, path)
  return setmetatable({ kind = kind, path = path }, Backing)
end

local kinds = {
  [C.UL_BACKING_NULL] = true, [C.UL_BACKING_MEM] = true, [C.UL_BACKING_FILE] = true,
}

local function set_backing(c, backing)
  if getmetatable(backing) ~= Backing or not kinds[backing.kind] then
    fail("backing", backing, "ublk.mem(), ublk.file(PATH) or ublk.null()")
  end
  c.backing = backing.kind
  if backing.path then
    if #backing.path >= ffi.sizeof(c.path) then fail("backing", backing.path, "a shorter path") end
    c.path = backing.path
  end
end

local function known_fields()
  local names = { "backing", "handler" }
  for name in pairs(fields) do names[#names + 1] = name end
  for name in pairs(M.ops) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

local function set_field(c, name, value)
  if name == "backing" then
    set_backing(c, value)
  elseif name == "handler" or M.ops[name] then
    if type(value) ~= "function" then fail(name, value, "a function") end
  elseif fields[name] then
    local field, read = unpack(fields[name])
    c[field] = read(name, value)
  else
    error(("unknown field %q; a device has %s"):format(tostring(name), known_fields()), 0)
  end
end

--- Check `device`, the table that a script returned, and fill `c`, a struct ul_device.
function M.describe(device, c)
  if type(device) ~= "table" then
    error(("the script returned %s; it must return a table, the device"):format(
      device == nil and "nothing" or "a " .. type(device)), 0)
  end
  -- A disk with a cache: FLUSH and FUA come through, and a script can see and fail them.
  c.volatile_cache, c.fua = true, true
  -- Memory: it keeps what is written, and a script that serves all itself does not pay for it.
  c.backing = C.UL_BACKING_MEM
  for name, value in pairs(device) do set_field(c, name, value) end
  local mask = 0
  for name, op in pairs(M.ops) do
    if device.handler or device[name] then mask = bit.bor(mask, bit.lshift(1, op)) end
  end
  c.op_mask = mask
end

--- One function (sector, length, buf, req) for each op number that the device handles.
-- `handler` sees a request first; where it says nothing, the op's own function does.
function M.handlers(device)
  local handlers, generic = {}, device.handler
  for name, op in pairs(M.ops) do
    local own = device[name]
    if generic and own then
      handlers[op] = function(sector, length, buf, req)
        local verdict = generic(name, sector, length, buf, req)
        if verdict ~= nil then return verdict end
        return own(sector, length, buf, req)
      end
    elseif generic then
      handlers[op] = function(sector, length, buf, req)
        return generic(name, sector, length, buf, req)
      end
    else
      handlers[op] = own
    end
  end
  return handlers
end

return M
