-- SPDX-License-Identifier: MIT
-- none.lua: no handlers; the C null device that the others are held against
local ublk = require "ublk"

return { size = "1G", backing = ublk.null() }
