-- SPDX-License-Identifier: MIT
-- Text to numbers: sizes, times, rates. Each function takes what a user wrote
-- (a string, or a number as it is) and returns a number, or nil and what would
-- have been accepted. Exported as ublk.size, ublk.time, ublk.rate.
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

return M
