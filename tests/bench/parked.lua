-- SPDX-License-Identifier: MIT
-- parked.lua: every read waits once, for a timer that is due at once or for the backing
local ublk = require "ublk"
local opt = ublk.options {
  how = { type = "enum", values = { "sleep", "forward" }, default = "sleep" },
}

local function sleep() ublk.sleep(0) end

local function forward(_, _, _, req) return req:forward() end

return {
  size = "1G",
  backing = ublk.null(),
  read = opt.how == "sleep" and sleep or forward,
}
