#!/usr/bin/env ublk-lua
-- ramdisk.lua: a disk in memory
-- It takes memory for what is written, and gives it back on discard.
local ublk = require "ublk"

local opt = ublk.options {
  size = { default = "1G", type = "size", help = "size of the device" },
}

return { size = opt.size, backing = ublk.mem() }
