#!/usr/bin/env ublk-lua
-- badguard.lua: a disk on which data and guard tags do not fit in some place
-- For clients that check them, as Linux 7.0 itself does: they get EILSEQ, a protection error.
local ublk = require "ublk"

local opt = ublk.options {
  file = { default = "", help = "backing file or device (default: memory)" },
  size = { type = "size", help = "size of the device (default: the file's, or 1G of memory)" },
  block = { type = "size", default = "512", help = "size of a block, each of which has a tag" },
  range = { type = "range", default = "1M+4K", help = "where the tags of what is read are wrong" },
}

local flipped = ublk.counter "flipped guards"

local function read(sector, length, _, req)
  local failed = req:forward()
  local metadata, size = req:metadata()
  if failed or not metadata then return failed end
  local piece = size / (length / opt.block) -- bytes of metadata for each block
  -- The blocks of the request that lie in the range.
  local first = math.max(opt.range[1] - sector * 512, 0) / opt.block
  local last = math.min(opt.range[2] - sector * 512, length) / opt.block
  for at = math.floor(first), math.ceil(last) - 1 do
    metadata[at * piece] = bit.bxor(metadata[at * piece], 1) -- a bit of the guard, which is first
    flipped:add()
  end
end

local memory = opt.file == ""

return {
  size = opt.size or memory and ublk.size "1G" or nil,
  block_size = opt.block,
  integrity = { csum = "crc16" },
  backing = memory and ublk.mem() or ublk.file(opt.file),
  layers = { { name = "badguard", range = opt.range, data = false, read = read } },
}
