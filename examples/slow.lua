#!/usr/bin/env ublk-lua
-- slow.lua: a disk that takes its time
-- Each request in the range waits for a random time first; others pass it by.
local ublk = require "ublk"

local opt = ublk.options {
  file = { default = "", help = "backing file or device (default: memory)" },
  size = { type = "size", help = "size of the device (default: the file's, or 1G of memory)" },
  time = { default = "2ms..10ms", type = "range", of = "time", help = "how long requests wait" },
  rate = { default = "100%", type = "rate", help = "share of requests that wait" },
  op = { default = "any", type = "enum", values = { "read", "write", "flush", "discard", "any" },
    help = "which requests wait" },
  range = { default = "all", type = "range", help = "where they wait; a flush has no place" },
}

assert(opt.time[2] < math.huge, "time=: a range that ends is needed")

local function wait()
  if ublk.random() < opt.rate then ublk.sleep(opt.time) end
end

local memory = opt.file == ""

return {
  size = opt.size or memory and ublk.size "1G" or nil,
  backing = memory and ublk.mem() or ublk.file(opt.file),
  layers = {
    { name = "slow", range = opt.range, [opt.op == "any" and "handler" or opt.op] = wait },
  },
}
