#!/usr/bin/env ublk-lua
-- stuck.lua: a disk that hangs for a while
-- The first request in the range gets stuck, and with it all that come there until the time is up;
-- what does not touch the range goes on. After that, the disk is well.
local ublk = require "ublk"

local opt = ublk.options {
  file = { default = "", help = "backing file or device (default: memory)" },
  size = { type = "size", help = "size of the device (default: the file's, or 1G of memory)" },
  time = { default = "30s", type = "time", help = "for how long it hangs" },
  after = { default = "0s", type = "time", help = "not before the device is that old" },
  op = { default = "any", type = "enum", values = { "read", "write", "flush", "discard", "any" },
    help = "which requests get stuck" },
  range = { default = "all", type = "range", help = "where they do; a flush has no place" },
  errno = { type = "errno", help = "with what they end (default: they are served at last)" },
}

local hangs, well = false, false
local stuck = ublk.counter "stuck"

local function let_go()
  hangs, well = false, true
  ublk.log(("%d requests go on"):format(ublk.release("stuck", opt.errno)))
end

local function hang()
  if well or ublk.now() < opt.after then return end
  if not hangs then
    hangs = true
    ublk.log("the disk hangs")
    ublk.after(opt.time, let_go)
  end
  stuck:add()
  return ublk.hold "stuck"
end

local memory = opt.file == ""

return {
  size = opt.size or memory and ublk.size "1G" or nil,
  backing = memory and ublk.mem() or ublk.file(opt.file),
  layers = {
    { name = "stuck", range = opt.range, [opt.op == "any" and "handler" or opt.op] = hang },
  },
}
