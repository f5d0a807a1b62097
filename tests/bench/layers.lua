-- SPDX-License-Identifier: MIT
-- layers.lua: `n` layers that see every read and pass it on, each with a decision to make
local ublk = require "ublk"

local opt = ublk.options { n = { type = "integer", default = 5 } }

local layers = {}
for i = 1, opt.n do
  local bad = 2 ^ 40 + i -- beyond the device
  local function read(sector) if sector == bad then return "EIO" end end
  layers[i] = { name = "bad " .. i, read = read }
end

return { size = "1G", backing = ublk.null(), layers = layers }
