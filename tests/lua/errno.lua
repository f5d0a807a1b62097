-- SPDX-License-Identifier: MIT
-- lua/ublk/errno.lua: names against the kernel's numbers (asm-generic/errno.h),
-- aliases, and those that the block layer does not take as errors.
local lu = require "luaunit"
local errno = require "ublk.errno"

local M = {}

local known = { EPERM = 1, EIO = 5, ENXIO = 6, ENOMEM = 12, ENOSPC = 28, EROFS = 30, EILSEQ = 84,
  ENOLINK = 67, ENODATA = 61, ETIMEDOUT = 110, EOPNOTSUPP = 95, EBADE = 52, EREMOTEIO = 121,
  ETOOMANYREFS = 109, EHWPOISON = 133 }

function M.test_names_have_their_numbers()
  for name, number in pairs(known) do
    lu.assertEquals(errno.number[name], number, name)
    lu.assertEquals(errno.verdict[name], -number, name)
    lu.assertEquals(errno.verdict[-number], -number, name)
  end
end

function M.test_every_verdict_is_a_negative_errno()
  local count = 0
  for key, value in pairs(errno.verdict) do
    lu.assertTrue(value < 0 and value > -134 and value % 1 == 0, tostring(key))
    count = count + 1
  end
  lu.assertTrue(count > 250) -- about 131 names and as many numbers
end

function M.test_positive_numbers_are_no_verdicts()
  for number = 0, 133 do lu.assertNil(errno.verdict[number]) end
end

function M.test_aliases_are_the_same_number()
  lu.assertEquals(errno.number.EWOULDBLOCK, 11)
  lu.assertEquals(errno.number.ENOTSUP, 95)
  lu.assertEquals(errno.verdict.ENOTSUP, -95)
  lu.assertEquals(errno.name[-95], "EOPNOTSUPP")
  lu.assertEquals(errno.name[-35], "EDEADLK")
  lu.assertNil(errno.name[-11]) -- it is refused
end

function M.test_unknown_names_are_nothing()
  for _, name in ipairs { "EFOO", "eio", "EIO ", "", "IO" } do
    lu.assertNil(errno.verdict[name])
    lu.assertNil(errno.number[name])
  end
  lu.assertNil(errno.verdict[-41]) -- a hole in the kernel's list
  lu.assertNil(errno.verdict[-4096])
end

function M.test_what_is_no_error_to_the_block_layer_is_refused()
  for _, key in ipairs { "EAGAIN", "EWOULDBLOCK", -11, "EREMCHG", -78 } do
    lu.assertNil(errno.verdict[key], tostring(key))
    lu.assertIsString(errno.refused[key], tostring(key))
  end
  lu.assertNil(errno.refused.EIO)
end

return lu.LuaUnit.new():runSuiteByInstances { { "errno", M } }
