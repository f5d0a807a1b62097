-- SPDX-License-Identifier: MIT
-- Mistakes of handlers in the log: each is told once, with its traceback, and
-- counted after that, so that a script that fails every request does not fill
-- a disk with text. The counts come when the device ends.
local C = require "ublk.ffi"
local text = require "ublk.text"

local M = {}
local MOST = 50 -- different mistakes that are told; further ones are only counted
local seen, order, untold = {}, {}, 0

M.quiet = false -- true: nothing is logged, somebody calls M.take

-- Messages that differ in their numbers alone ("bad sector 8", "table: 0x7f54") are one mistake;
-- the place of a script error, FILE:LINE, stays.
local function kind_of(message)
  local place, rest = message:match "^(.-:%d+:)(.*)$"
  return (place or "") .. (rest or message):gsub("0x%x+", "N"):gsub("%d+", "N")
end

--- For xpcall: an error as a line of text, whatever was thrown, and the stack below it; `above`
-- functions of the caller's stand on top of it.
function M.traceback(err, above)
  local ok, message = pcall(tostring, err)
  if not ok or type(message) ~= "string" then -- __tostring of an object may do anything
    message = "an error that cannot be told as text" .. (ok and "" or ": " .. tostring(message))
  end
  local trace = debug.traceback(text.line(message), 2 + (above or 0))
  return trace
end

--- Log `message`; one like it again is only counted. `trace`, if any, is logged instead at first.
function M.mistake(message, trace)
  message = text.line(message)
  local kind = kind_of(message)
  local entry = seen[kind]
  if entry then
    entry.count = entry.count + 1
  elseif #order == MOST then
    untold = untold + 1
  else
    entry = { message = message, trace = trace, count = 1 }
    seen[kind] = entry
    order[#order + 1] = entry
    if not M.quiet then C.ul_log(C.UL_LOG_ERROR, trace or message) end
  end
end

--- What was told so far, as a list of { message, trace, count } and the count of further kinds.
function M.take()
  local list, more = order, untold
  seen, order, untold = {}, {}, 0
  return list, more
end

--- Log how often each mistake was made, where it was more than once.
function M.close()
  if M.quiet then return end
  for _, entry in ipairs(order) do
    if entry.count > 1 then
      C.ul_log(C.UL_LOG_ERROR, ("%s (%d times in all)"):format(entry.message, entry.count))
    end
  end
  if untold > 0 then
    C.ul_log(C.UL_LOG_ERROR, ("%d mistakes of further kinds"):format(untold))
  end
end

return M
