-- SPDX-License-Identifier: MIT
-- Random numbers that a seed repeats: one stream for each layer and queue, the
-- same on every run with the same --seed. A layer's stream hangs on its name,
-- so that a layer more or less does not change the faults of the others.
local ffi = require "ffi"
local C = require "ublk.ffi"
local context = require "ublk.context"

local M = {}

local rngs = ffi.new("struct ul_rng[?]", C.UL_LAYERS) -- by the layer's index
local base = 0ULL -- the seed
local layer = context.layer

-- FNV-1a (Fowler, Noll, Vo), 64 bits.
local function hash(text)
  local h = 0xcbf29ce484222325ULL
  for i = 1, #text do h = bit.bxor(h, text:byte(i)) * 0x100000001b3ULL end
  return h
end

--- Start from `seed`, a number or a uint64_t: the stream of layer 0 begins anew, those of the
-- others when they are added. Called in a handler: the stream of its layer begins anew.
function M.seed(seed)
  if layer[0] == 0 then base = ffi.cast("uint64_t", seed) end
  C.ul_rng_seed(rngs + layer[0], seed, context.queue)
end

--- Begin the stream of the layer with `index`, which is called `name`.
function M.add_stream(index, name)
  C.ul_rng_seed(rngs + index, bit.bxor(base, hash(name)), context.queue)
end

--- random() in [0, 1); random(m) a whole number from 1 to m; random(m, n) from m to n.
function M.random(m, n)
  local r = C.ul_rng_next(rngs + layer[0])
  if not m then return r end
  if not n then m, n = 1, m end
  if type(m) ~= "number" or type(n) ~= "number" or m % 1 ~= 0 or n % 1 ~= 0 then
    error("ublk.random needs whole numbers", 2)
  elseif m > n then
    error("ublk.random: the interval is empty", 2)
  end
  return m + math.floor(r * (n - m + 1))
end

return M
