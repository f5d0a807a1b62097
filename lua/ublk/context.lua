-- SPDX-License-Identifier: MIT
-- What this Lua state is for: what the command line says, filled in by the
-- engine before the script runs, and what runs now. Everybody reads it.
local ffi = require "ffi"

return {
  name = "?", -- the script's file name, for messages
  args = {},  -- the words after it, "key=value" each
  queue = 0,  -- the queue that this state is for
  stats = nil, -- struct ul_script_stats *: what the script counts, as the user sees it
  help = false, -- true: the script runs only to be asked for its options
  declared = false, -- it has called ublk.options

  -- The index of the layer whose handler runs: whose random numbers are drawn, who forwards.
  -- 0 for the device's own functions, and while the script loads. Compiled code stores it for
  -- each layer that a request passes, which costs nothing in FFI memory.
  layer = ffi.new "int32_t[1]",
}
