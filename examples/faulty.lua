#!/usr/bin/env ublk-lua
-- faulty.lua: a disk that fails some of its requests
-- The same seed fails the same requests of the same workload.
local ublk = require "ublk"

local opt = ublk.options {
  file = { default = "", help = "backing file or device (default: memory)" },
  size = { type = "size", help = "size of the device (default: the file's, or 1G of memory)" },
  rate = { default = "1%", type = "rate", live = true, help = "share of requests that fail" },
  op = { default = "write", type = "enum", values = { "read", "write", "flush", "discard", "any" },
    help = "which requests fail" },
  errno = { default = "EIO", type = "errno", help = "with what; ENODATA is a medium error" },
  seed = { type = "number", help = "seed of the faults (default: --seed)" },
}

if opt.seed then ublk.randomseed(opt.seed) end

local function fault()
  if ublk.random() < opt.rate then return opt.errno end
end

local memory = opt.file == ""

return {
  size = opt.size or memory and ublk.size "1G" or nil,
  backing = memory and ublk.mem() or ublk.file(opt.file),
  [opt.op == "any" and "handler" or opt.op] = fault,
}
