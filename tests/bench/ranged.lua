-- SPDX-License-Identifier: MIT
-- ranged.lua: a layer with a range; the reads are all in the first 1 GiB, and so in it or beside it
local ublk = require "ublk"
local opt = ublk.options { at = { type = "range", default = "1G.." } }

return {
  size = "2G",
  backing = ublk.null(),
  layers = { { name = "bad", range = opt.at, read = function() end } },
}
