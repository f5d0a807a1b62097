#!/usr/bin/env ublk-lua
-- bitrot.lua: a disk that gives back other data than was written
-- One bit of what is read in the range is wrong, and the disk says that all is well.
local ublk = require "ublk"

local opt = ublk.options {
  file = { default = "", help = "backing file or device (default: memory)" },
  size = { type = "size", help = "size of the device (default: the file's, or 1G of memory)" },
  range = { default = "all", type = "range", help = "where data rots" },
  rate = { default = "1%", type = "rate", help = "share of reads that have a wrong bit" },
}

local flipped = ublk.counter "flipped bits"

local function read(sector, length, buf, req)
  if ublk.random() >= opt.rate then return end
  local failed = req:forward()
  if failed then return failed end
  -- The part of the data that lies in the range, in bytes of the buffer.
  local first = math.max(opt.range[1] - sector * 512, 0)
  local last = math.min(opt.range[2] - sector * 512, length) - 1
  local at = ublk.random(first, last)
  buf[at] = bit.bxor(buf[at], 2 ^ ublk.random(0, 7))
  flipped:add()
end

local memory = opt.file == ""

return {
  size = opt.size or memory and ublk.size "1G" or nil,
  backing = memory and ublk.mem() or ublk.file(opt.file),
  layers = { { name = "bitrot", range = opt.range, read = read } },
}
