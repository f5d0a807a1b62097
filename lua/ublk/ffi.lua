-- SPDX-License-Identifier: MIT
-- The C side as Lua sees it: declares core/api.h, whose text the build embeds
-- as module `ublk.api`. The only place that says ffi.cdef.
local ffi = require "ffi"

ffi.cdef(require "ublk.api")

return ffi.C
