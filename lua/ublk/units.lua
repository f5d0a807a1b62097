-- SPDX-License-Identifier: MIT
-- Text to numbers: sizes, times, rates, ranges. Each function takes what a user
-- wrote (a string, or a number as it is) and returns a number (of a range, two
-- in a table), or nil and what would have been accepted. Exported as ublk.size,
-- ublk.time, ublk.rate, ublk.range.
local M = {}

local powers = { [""] = 0, K = 1, M = 2, G = 3, T = 4, P = 5 }
local seconds = { ns = 1e-9, us = 1e-6, ms = 1e-3, s = 1, m = 60, h = 3600 }

local function non_negative(number)
  return number and number >= 0 and number < math.huge and number or nil
end

--- Bytes: 4096, "4096", "64K", "1.5G", "1GiB" (powers of 1024).
function M.size(value)
  local digits, unit = tostring(value):match "^([%d.]+)%s*(%a*)$"
  if type(value) == "number" then digits, unit = value, "" end
  unit = unit and unit:upper()
  local power = unit and powers[unit == "B" and "" or unit:match "^(%u)IB$" or unit]
  local number = non_negative(tonumber(digits))
  if not number or not power then return nil, "a size such as 4096, 64K, 1.5G" end
  local bytes = number * 1024 ^ power
  if bytes % 1 ~= 0 then return nil, "a whole number of bytes" end
  return bytes
end

--- Seconds: 0.5, "0.5", "10us", "5ms", "2s", "1m", "1h".
function M.time(value)
  local accepted = "a time such as 10us, 5ms, 2s, 1m, or a number of seconds"
  if type(value) == "number" then return non_negative(value), accepted end
  local digits, unit = tostring(value):match "^([%d.]+)%s*(%a*)$"
  local factor = unit and seconds[unit == "" and "s" or unit]
  local number = non_negative(tonumber(digits))
  if not number or not factor then return nil, accepted end
  return number * factor
end

--- A share from 0 to 1: 0.01, "0.01", "1%", "1:100".
function M.rate(value)
  local accepted = "a share from 0 to 1 such as 1%, 0.01, 1:100"
  local text = tostring(value)
  local percent = text:match "^(.+)%%$"
  local part, whole = text:match "^([%d.]+):([%d.]+)$"
  local number
  if percent then
    number = tonumber(percent) and tonumber(percent) / 100
  elseif part then
    number = tonumber(part) and tonumber(whole) and tonumber(part) / tonumber(whole)
  else
    number = tonumber(text)
  end
  if not number or not (number >= 0 and number <= 1) then return nil, accepted end
  return number
end

local ranges = {
  size = { read = M.size, accepted = "a range such as 0..1M, 1M.., ..1M, 64K+4K, all" },
  time = { read = M.time, single = true,
    accepted = "a time such as 5ms, or a range such as 2ms..10ms, ..1s" },
}

-- The two ends as they are written, or as numbers; nil and nil when it is no range.
local function range_ends(value, kind)
  if type(value) == "table" then
    if #value == 2 then return value[1], value[2] end
    return nil
  end
  local text = tostring(value):match "^%s*(.-)%s*$"
  if text == "all" then return 0, math.huge end
  local from, to = text:match "^(.-)%s*%.%.%s*(.*)$"
  if from and text ~= ".." then return from == "" and 0 or from, to == "" and math.huge or to end
  local start, length = text:match "^(.-)%s*%+%s*(.*)$"
  start, length = kind.read(start), kind.read(length)
  if start and length then return start, start + length end
  if kind.single then return value, value end
end

--- { from, to } of bytes, `to` not among them: "0..1M", "1M.." (`to` is math.huge), "..1M",
-- "64K+4K" (start and length), "all", or a table of the two. With of = "time" of seconds, both
-- ends among them, and one time such as "5ms" is a range too.
function M.range(value, of)
  local kind = ranges[of or "size"]
  if not kind then error("range: of is \"size\" or \"time\"", 2) end
  local from, to = range_ends(value, kind)
  from, to = from and kind.read(from), to and (to == math.huge and to or kind.read(to))
  if not from or not to then return nil, kind.accepted end
  if from > to then return nil, "a range that does not end before it begins" end
  if from == to and not kind.single then return nil, "a range that is not empty" end
  return { from, to }
end

return M
