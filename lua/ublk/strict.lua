-- SPDX-License-Identifier: MIT
-- Undeclared globals are errors, in the script and in its modules: a word that
-- is misspelt, or a "local" that is missing, is told with its place when it is
-- met. Names that exist are found as ever, before the metatable is asked; that
-- the script itself assigns nothing to them is read from its bytecode, before it
-- runs: what asked at each access would cost handlers their speed. Modules may:
-- many say `unpack = unpack or table.unpack`.
local util = require "jit.util"

local M = {}
local standard -- names that are Lua's own and the program's, as a set

-- The instruction that assigns to a global: of this chunk, the one after its header and the number.
local GSET = bit.band(util.funcbc(loadstring "x = 1", 2), 0xff)

-- Where installed libraries live, read before the script's own folder joins the path. They may ask
-- for globals that this Lua has not, and do.
local libraries = {}
for folder in package.path:gmatch "(/[^;?]+/)%?" do libraries[#libraries + 1] = "@" .. folder end

-- Is it a function of C (module, say) or of an installed library? `info`: its debug.getinfo.
local function excused(info)
  if not info or info.what == "C" then return true end
  for _, folder in ipairs(libraries) do
    if info.source:sub(1, #folder) == folder then return true end
  end
  return false
end

-- The first assignment to a standard name in `func`, a function or prototype: FILE:LINE and name.
local function find_assignment(func)
  for pc = 1, util.funcinfo(func).bytecodes - 1 do
    local instruction = util.funcbc(func, pc)
    local name = bit.band(instruction, 0xff) == GSET
      and util.funck(func, -1 - bit.rshift(instruction, 16))
    if standard[name] then return util.funcinfo(func, pc).loc, name end
  end
end

-- The constants of `func` that are objects, as texts and inner prototypes are.
local function constants(func)
  return function(_, at) -- from -1 downwards
    local value = util.funck(func, at - 1)
    if value ~= nil then return at - 1, value end
  end, nil, 0
end

local function overwrites(func)
  local place, name = find_assignment(func)
  if place then
    return ("%s: assignment to %s, one of Lua's own names: use a local, or another name"):format(
      place, name)
  end
  for _, value in constants(func) do
    local said = type(value) == "proto" and overwrites(value)
    if said then return said end
  end
end

--- What is wrong with a chunk that assigns to a standard name, as a line; nil: it does not. Of one
-- that may have its globals for itself, as module("name") makes them, nobody can tell.
function M.overwrites(func)
  for _, value in constants(func) do
    if value == "module" or value == "setfenv" then return nil end
  end
  return overwrites(func)
end

--- From now on; rawget and rawset on _G are the way around it.
function M.install()
  if not standard then
    standard = {}
    for name in pairs(_G) do standard[name] = true end
  end
  setmetatable(_G, {
    __index = function(_, name)
      if excused(debug.getinfo(2, "S")) then return nil end
      error(("undeclared variable %s: write \"local %s\" before its first use, or is it misspelt?")
        :format(tostring(name), tostring(name)), 2)
    end,
    __newindex = function(globals, name, value)
      if excused(debug.getinfo(2, "S")) then return rawset(globals, name, value) end
      error(("assignment to undeclared variable %s: write \"local %s\"")
        :format(tostring(name), tostring(name)), 2)
    end,
  })
end

return M
