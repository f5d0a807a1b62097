#!/usr/bin/env ublk-lua
-- reorder.lua: a disk that does what it is asked in another order
-- Gathers requests that are in flight together, and serves the last one first, or in any order.
local ublk = require "ublk"

local opt = ublk.options {
  size = { default = "1G", type = "size", help = "size of the device" },
  count = { default = 8, type = "number", min = 1, help = "how many requests are gathered" },
  time = { default = "5ms", type = "time", help = "the first of them waits no longer than this" },
  op = { default = "write", type = "enum", values = { "read", "write", "any" },
    help = "which requests" },
  order = { default = "reverse", type = "enum", values = { "reverse", "random" },
    help = "in which order they go on" },
}

local turns = ublk.counter "turns"
local turn = {} -- names that its requests hold, first come first, and `limit`, a task

local function let_go(names)
  names.limit:cancel()
  if names == turn then turn = {} end
  while #names > 0 do
    ublk.release(table.remove(names, opt.order == "random" and ublk.random(#names) or #names))
  end
end

local function gather(req)
  local name, names = req.tag, turn
  names[#names + 1] = name
  if #names == 1 then
    turns:add()
    names.limit = ublk.after(opt.time, function() let_go(names) end)
  end
  if #names >= opt.count then
    turn = {}
    ublk.spawn(let_go, names) -- beside this handler, which holds nothing yet
  end
  return ublk.hold(name)
end

local layer = { name = "reorder" }
for _, op in ipairs(opt.op == "any" and { "read", "write" } or { opt.op }) do
  layer[op] = function(_, _, _, req) return gather(req) end
end

return { size = opt.size, layers = { layer } }
