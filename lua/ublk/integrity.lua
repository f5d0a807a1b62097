-- SPDX-License-Identifier: MIT
-- A device's field `integrity`, which says what metadata it has, as struct
-- ul_integrity. Kinds are checked here, ranges by core/params.c. Errors are
-- plain strings that name the field.
local C = require "ublk.ffi"
local text = require "ublk.text"
local units = require "ublk.units"

local M = {}

local csums = {
  none = C.UL_CSUM_NONE, ip = C.UL_CSUM_IP, crc16 = C.UL_CSUM_CRC16, crc64 = C.UL_CSUM_CRC64,
}

local function csum(name, value)
  return csums[value] or text.refuse(name, value, '"crc16", "crc64", "ip" or "none"')
end

local function bytes(name, value)
  local size, accepted = units.size(value)
  if not size then text.refuse(name, value, accepted) end
  if size >= 2 ^ 32 then text.refuse(name, value, "a size below 4G") end
  return size
end

-- Zero would mean "not said" to C.
local function some_bytes(name, value)
  local size = bytes(name, value)
  if size < 1 then text.refuse(name, value, "a size from 1") end
  return size
end

local function count(name, value)
  if type(value) ~= "number" or value % 1 ~= 0 or value < 1 or value >= 2 ^ 32 then
    text.refuse(name, value, "a whole number from 1")
  end
  return value
end

local function boolean(name, value)
  if type(value) ~= "boolean" then text.refuse(name, value, "true or false") end
  return value and C.UL_YES or C.UL_NO
end

local fields = {
  csum = csum, ref_tag = boolean, metadata_size = some_bytes, interval = some_bytes,
  pi_offset = bytes, tag_size = bytes, max_segments = count,
}

local function known_fields()
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

--- struct ul_integrity, as a table, of what the script says of the field `name`.
function M.read(name, value)
  if type(value) ~= "table" then
    text.refuse(name, value, 'a table, as in { csum = "crc16" }')
  end
  local c = { wanted = 1, csum = C.UL_CSUM_CRC16 }
  for key, said in pairs(value) do
    local read = fields[key]
    if not read then
      error(("%s: unknown field %s; it has %s"):format(name, text.show(key), known_fields()), 0)
    end
    c[key] = read(name .. "." .. key, said)
  end
  return c
end

return M
