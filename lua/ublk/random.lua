-- SPDX-License-Identifier: MIT
-- Random numbers that a seed repeats: one stream for each queue, the same on
-- every run with the same --seed. Called as math.random is.
local ffi = require "ffi"
local C = require "ublk.ffi"

local M = {}
local rng = ffi.new "struct ul_rng"

--- Start the stream of `queue` from `seed`, a number or a uint64_t.
function M.seed(seed, queue)
  C.ul_rng_seed(rng, seed, queue)
end

--- random() in [0, 1); random(m) a whole number from 1 to m; random(m, n) from m to n.
function M.random(m, n)
  local r = C.ul_rng_next(rng)
  if not m then return r end
  if not n then m, n = 1, m end
  if m > n then error("ublk.random: the interval is empty", 2) end
  return m + math.floor(r * (n - m + 1))
end

return M
