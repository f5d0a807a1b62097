#!/usr/bin/env ublk-lua
-- null.lua: a disk that takes everything and keeps nothing
-- Writes vanish and reads give anything: what a request costs without a disk.
local ublk = require "ublk"

local opt = ublk.options {
  size = { default = "250G", type = "size", help = "size of the device" },
}

return { size = opt.size, backing = ublk.null() }
