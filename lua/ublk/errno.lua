-- SPDX-License-Identifier: MIT
-- Errno names and numbers, from the C library's own list. What a script may
-- answer with: verdict["EIO"] and verdict[-5] are both -5. name[-5] is "EIO", of
-- names that share a number always the same one.
local C = require "ublk.ffi"
local ffi = require "ffi"

local M = { number = {}, verdict = {}, name = {}, refused = {} }

-- Linux keeps errnos below 134; numbers between them have no name.
for number = 1, 133 do
  local name = C.ul_errno_name(number)
  if name ~= nil then
    name = ffi.string(name)
    M.number[name] = number
    M.verdict[name] = -number
    M.verdict[-number] = -number
    M.name[-number] = name
  end
end
-- Names that share a number: the C library lists one of each.
M.number.EWOULDBLOCK = M.number.EAGAIN
M.number.ENOTSUP = M.number.EOPNOTSUPP
M.number.EDEADLOCK = M.number.EDEADLK
M.verdict.ENOTSUP = M.verdict.EOPNOTSUPP
M.verdict.EDEADLOCK = M.verdict.EDEADLK

-- The block layer does not take these as errors (blk_errors in block/blk-core.c).
local refused = {
  EAGAIN = "EAGAIN means \"try again without waiting\" to the block layer, not an error",
  EREMCHG = "EREMCHG makes device mapper send the request again, for ever",
}
for name, why in pairs(refused) do
  local number = M.number[name]
  M.verdict[name] = nil
  M.verdict[-number] = nil
  M.name[-number] = nil
  M.refused[name] = why
  M.refused[-number] = why
end
M.refused.EWOULDBLOCK = refused.EAGAIN

return M
