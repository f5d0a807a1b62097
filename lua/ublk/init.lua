-- SPDX-License-Identifier: MIT
-- What a script gets from `require "ublk"`.
local C = require "ublk.ffi"
local backings = require "ublk.backings"
local context = require "ublk.context"
local counters = require "ublk.counters"
local layers = require "ublk.layers"
local options = require "ublk.options"
local random = require "ublk.random"
local shared = require "ublk.shared"
local tasks = require "ublk.tasks"
local text = require "ublk.text"
local units = require "ublk.units"
local wait = require "ublk.wait"

local ublk = {}

--- Declare the script's key=value options; see options.lua.
ublk.options = options.declare

--- Backings; see backings.lua.
ublk.mem, ublk.null, ublk.file = backings.mem, backings.null, backings.file
ublk.stripe, ublk.mirror, ublk.cow = backings.stripe, backings.mirror, backings.cow
ublk.zoned = backings.zoned

--- Random numbers of the device's seed; as math.random.
ublk.random = random.random

--- Start this queue's random stream from `seed` (a whole number) instead of from --seed.
function ublk.randomseed(seed)
  if type(seed) ~= "number" or seed % 1 ~= 0 or seed < 0 or seed > 2 ^ 53 then
    error("ublk.randomseed needs a whole number from 0 to 2^53", 2)
  end
  random.seed(seed)
end

--- What -v and --stats show under names: counter(name):add([n]), histogram(name [, unit])
-- :record(value); see counters.lua.
ublk.counter, ublk.histogram = counters.counter, counters.histogram

--- Numbers that all queues of the device share; see shared.lua.
ublk.shared = shared.shared

--- Which queue this is, from 0: the script runs once for each. The engine sets it.
ublk.queue = context.queue

--- Text to number, as options of these types are read: bytes, seconds, a share from 0 to 1.
-- Each returns the number, or nil and what is accepted.
ublk.size, ublk.time, ublk.rate = units.size, units.time, units.rate

--- Time and waiting: see wait.lua. Only the request or task that calls them waits.
ublk.now, ublk.sleep = wait.now, wait.sleep
ublk.hold, ublk.release = wait.hold, wait.release
ublk.wait, ublk.signal = wait.wait, wait.signal

--- The backing, below all layers: read, write, flush, discard, write_zeroes; see wait.lua.
ublk.backing = wait.backing

--- Functions beside the I/O; see tasks.lua.
ublk.spawn, ublk.every = tasks.spawn, tasks.every
ublk.at, ublk.after = tasks.at, tasks.after

--- Text to a table { from, to } of bytes, or with "time" as second argument of seconds; or nil
-- and what is accepted. See units.lua for how a range is written.
ublk.range = units.range

--- One line to the program's log.
function ublk.log(...)
  local words = { ... }
  for i = 1, select("#", ...) do words[i] = tostring(words[i]) end
  C.ul_log(C.UL_LOG_INFO, table.concat(words, " "))
end

--- Bits of req.flags; test with bit.band(req.flags, ublk.flags.FUA) ~= 0.
ublk.flags = {
  FAILFAST_DEV = C.UL_FLAG_FAILFAST_DEV,
  FAILFAST_TRANSPORT = C.UL_FLAG_FAILFAST_TRANSPORT,
  FAILFAST_DRIVER = C.UL_FLAG_FAILFAST_DRIVER,
  META = C.UL_FLAG_META,
  FUA = C.UL_FLAG_FUA,
  NOUNMAP = C.UL_FLAG_NOUNMAP,
  SWAP = C.UL_FLAG_SWAP,
}

--- What req.op is, by the names that a `handler` gets: req.op == ublk.ops.write.
ublk.ops = {}
for name, op in pairs(layers.ops) do ublk.ops[name] = op end

-- What is not there is an error, as it is of a request or a counter.
local function close(what, t)
  setmetatable(t, { __index = function(_, name)
    error(("%s has no field %s"):format(what, text.show(name)), 2)
  end })
end

close("ublk", ublk)
close("ublk.flags", ublk.flags)
close("ublk.ops", ublk.ops)
close("ublk.backing", ublk.backing)

return ublk
