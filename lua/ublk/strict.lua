-- SPDX-License-Identifier: MIT
-- Undeclared globals are errors, in the script and in its modules: a word that
-- is misspelt, or a "local" that is missing, is told with its place when it is
-- met. Names that exist are found as ever, before the metatable is asked.
local M = {}

-- Where installed libraries live, read before the script's own folder joins the path. They may ask
-- for globals that this Lua has not, and do.
local libraries = {}
for folder in package.path:gmatch "(/[^;?]+/)%?" do libraries[#libraries + 1] = "@" .. folder end

-- Is what called the metamethod a function of C (module, say) or of an installed library?
local function excused()
  local caller = debug.getinfo(3, "S")
  if not caller or caller.what == "C" then return true end
  for _, folder in ipairs(libraries) do
    if caller.source:sub(1, #folder) == folder then return true end
  end
  return false
end

--- From now on; rawget and rawset on _G are the way around it.
function M.install()
  setmetatable(_G, {
    __index = function(_, name)
      if excused() then return nil end
      error(("undeclared variable %s: write \"local %s\" before its first use, or is it misspelt?")
        :format(tostring(name), tostring(name)), 2)
    end,
    __newindex = function(globals, name, value)
      if excused() then return rawset(globals, name, value) end
      error(("assignment to undeclared variable %s: write \"local %s\"")
        :format(tostring(name), tostring(name)), 2)
    end,
  })
end

return M
