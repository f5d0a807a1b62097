-- SPDX-License-Identifier: MIT
-- Mistakes of handlers in the log: each is told once, with its traceback, and
-- counted after that, so that a script that fails every request does not fill
-- a disk with text. The counts come when the device ends.
local C = require "ublk.ffi"

local M = {}
local seen, order = {}, {}

--- Log `message`; the same message again is only counted. `trace` is logged with the first.
function M.mistake(message, trace)
  local count = seen[message]
  if count then
    seen[message] = count + 1
    return
  end
  seen[message] = 1
  order[#order + 1] = message
  C.ul_log(C.UL_LOG_ERROR, trace or message)
end

--- Log how often each message came after its first time.
function M.close()
  for _, message in ipairs(order) do
    if seen[message] > 1 then
      C.ul_log(C.UL_LOG_ERROR, ("%s (%d times in all)"):format(message, seen[message]))
    end
  end
end

return M
