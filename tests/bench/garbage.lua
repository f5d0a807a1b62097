-- SPDX-License-Identifier: MIT
-- garbage.lua: a small table for each read, beside `live` bytes of tables that stay: a chain of
-- groups of a hundred, or (shape=one) all in one table, which a collector walks through in one go
local ublk = require "ublk"
local opt = ublk.options {
  live = { type = "size", default = "0" },
  shape = { type = "enum", values = { "many", "one" }, default = "many" },
}

local function held() return collectgarbage "count" * 1024 end

local live, full = {}, held() + opt.live
while held() < full do
  if opt.shape == "many" then live = { live } end
  for i = 1, 100 do live[#live + 1] = { i } end
end

local last -- luacheck: ignore last

return {
  size = "1G",
  backing = ublk.null(),
  read = function(sector, length)
    last = { sector, length, live } -- which keeps it alive
  end,
}
