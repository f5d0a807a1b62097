-- SPDX-License-Identifier: MIT
-- What the command line says to this Lua state. The engine fills it in before
-- the script runs; options.lua and init.lua read it.
return {
  name = "?", -- the script's file name, for messages
  args = {},  -- the words after it, "key=value" each
  queue = 0,  -- the queue that this state is for
  stats = nil, -- struct ul_script_stats *: what the script counts, as the user sees it
  help = false, -- true: the script runs only to be asked for its options
  declared = false, -- it has called ublk.options
}
