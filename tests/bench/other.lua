-- SPDX-License-Identifier: MIT
-- other.lua: handles writes alone, so reads must cost what they cost without a script
local ublk = require "ublk"

return { size = "1G", backing = ublk.null(), write = function() return "EIO" end }
