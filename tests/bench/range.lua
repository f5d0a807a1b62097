-- SPDX-License-Identifier: MIT
-- range.lua: a few bad sectors; a handler that compares and branches
local ublk = require "ublk"

local first, last = 2048, 2055

return {
  size = "1G",
  backing = ublk.null(),
  read = function(sector, length)
    if sector <= last and sector + length / 512 > first then return "ENODATA" end
  end,
}
