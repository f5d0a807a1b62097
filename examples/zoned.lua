#!/usr/bin/env ublk-lua
-- zoned.lua: a zoned disk with worn zones: they can only be read, or not even that
-- Each of its zones is written from its beginning on; `blkzone report` shows them. Some appends can
-- fail too, as on a disk that finds a bad place only when it writes.
local ublk = require "ublk"

local opt = ublk.options {
  file = { default = "", help = "backing file or device (default: memory)" },
  state = { default = "", help = "file that keeps the state of the zones (default: none)" },
  size = { default = "1G", type = "size" },
  zone = { default = "16M", type = "size", help = "size of a zone, a power of two" },
  conventional = { default = 0, type = "integer", help = "zones that are written anywhere" },
  open = { default = 0, type = "integer", help = "most zones that may be open (0: any number)" },
  read_only = { default = {}, type = "list", of = "integer", help = "zones, as in 3,4" },
  offline = { default = {}, type = "list", of = "integer", help = "zones, as in 5,6" },
  rate = { default = 0, type = "rate", live = true, help = "share of writes that fail" },
}

local function wear(_, _, _, req)
  if opt.rate > 0 and ublk.random() < opt.rate then
    req:hit()
    return "EIO"
  end
end

return {
  size = opt.size,
  data = false, -- decided without a look at it
  backing = ublk.zoned(opt.file ~= "" and ublk.file(opt.file) or ublk.mem(), {
    zone_size = opt.zone, conventional = opt.conventional, max_open = opt.open,
    read_only = opt.read_only, offline = opt.offline,
    state = opt.state ~= "" and ublk.file(opt.state) or nil,
  }),
  write = wear,
  zone_append = wear,
}
