-- SPDX-License-Identifier: MIT
-- Lua that a client sends to a running device. It sees what the script sees:
-- its local variables by their names, as far as a function of the device uses
-- them, and may set them. What it sets otherwise is its own, and stays for the
-- next time.
local json = require "ublk.json"
local text = require "ublk.text"
local ublk = require "ublk"
local wait = require "ublk.wait"

local M = {}
local LIMIT = 2 -- seconds: its queue waits meanwhile
local device, roots -- the table that the script returned; functions to begin with

local library = debug.getinfo(1, "S").source:match "^.*/" -- "@DIR/ublk/"

-- The library's own variables are nobody's to see: set by eval they would break the engine.
local function is_scripts(fn)
  local info = debug.getinfo(fn, "S")
  return info.what ~= "C" and info.source:sub(1, #library) ~= library
    and not info.source:find "^=ublk%." and not info.source:find "^=%["
end

-- Each local variable that the device's functions use: visit(name, value, fn, index), until it
-- returns true. Of two of one name the one nearer to a handler comes first.
local function each_local(visit)
  local queue, seen, at = {}, {}, 1
  local function add(fn)
    if type(fn) == "function" and not seen[fn] and is_scripts(fn) then
      seen[fn], queue[#queue + 1] = true, fn
    end
  end
  for _, fn in ipairs(roots) do add(fn) end
  while queue[at] do
    local fn, index = queue[at], 1
    local name, value = debug.getupvalue(fn, index)
    while name do
      if visit(name, value, fn, index) then return end
      add(value)
      index = index + 1
      name, value = debug.getupvalue(fn, index)
    end
    at = at + 1
  end
end

local function find(wanted)
  local found
  each_local(function(name, value, fn, index)
    if name == wanted then found = { fn = fn, index = index, value = value } end
    return found
  end)
  return found
end

local known = { ublk = ublk } -- besides these

local env = setmetatable({}, {
  __index = function(_, name)
    local found = find(name)
    if found then return found.value end
    if known[name] ~= nil then return known[name] end
    local value = rawget(_G, name)
    if value == nil then
      error(("no variable %s: no function of the device uses one"):format(tostring(name)), 2)
    end
    return value
  end,
  __newindex = function(t, name, value)
    local found = find(name)
    if not found then return rawset(t, name, value) end
    debug.setupvalue(found.fn, found.index, value)
    jit.flush() -- compiled code has the value of a variable that nothing assigns to
  end,
})

--- Called once, by the engine: the device's table and its layers.
function M.attach(loaded, layers)
  device, roots = loaded, {}
  known.device = device
  for _, layer in ipairs { device, unpack(layers) } do
    for _, value in next, layer do roots[#roots + 1] = value end
  end
end

-- An expression, or statements. A function in between keeps a call from being the chunk's last act,
-- after which its errors would have no place.
local function load(code)
  local head = "return (function(...) return ... end)("
  for _, tail in ipairs { ")", "\n)" } do -- the second for code that ends with a comment
    local chunk = loadstring(head .. code .. tail, "=eval")
    if chunk then return chunk end
  end
  return loadstring(code, "=eval")
end

-- What it calls may be compiled, where no hook comes: it itself is not. Once it is late each of its
-- instructions fails, so that no pcall of its own keeps it alive.
local function call(chunk)
  local ends, late = wait.now() + LIMIT, false
  local function stop()
    if not late and wait.now() <= ends then return end
    if not late then debug.sethook(stop, "", 1) end
    late = true
    if is_scripts(debug.getinfo(2, "f").func) then
      error(("has run for %d s, and the queue waits for it: ended"):format(LIMIT), 2)
    end
  end
  jit.off(chunk, true)
  local results = { n = 0 }
  local function keep(...) results = { n = select("#", ...), ... } end
  debug.sethook(stop, "", 10000)
  local ok, err = pcall(function() keep(chunk()) end)
  debug.sethook()
  return ok, err, results
end

--- Run `code`: true and a JSON list of the values that it returns; or false and why not.
function M.run(code)
  local chunk, syntax = load(code)
  if not chunk then return false, text.line(syntax) end
  local ok, err, results = call(setfenv(chunk, env))
  if not ok then
    local told, message = pcall(tostring, err)
    return false, text.line(told and message or "an error that cannot be told as text")
  end
  return true, json.list(results, results.n)
end

local function add_matching(names, t, path, prefix)
  for name in next, t do
    if type(name) == "string" and name:find "^[%a_][%w_]*$" and name:sub(1, #prefix) == prefix then
      names[path .. name] = true
    end
  end
end

-- The table that `path`, "a.b." say, stands for; nothing of the script's own is called.
local function table_at(path)
  local value
  for name in path:gmatch "([%w_]+)[.:]" do
    if value == nil then
      local found = find(name)
      value = found and found.value or rawget(env, name) or known[name] or rawget(_G, name)
    else
      value = rawget(value, name)
    end
    if type(value) ~= "table" then return nil end
  end
  return value
end

--- Names that the word `word` may be the beginning of, sorted.
function M.complete(word)
  local path, prefix = word:match "^(.*[.:])([%w_]*)$"
  local names, list = {}, {}
  if path then
    add_matching(names, table_at(path) or {}, path, prefix)
  else
    prefix = word
    for _, t in ipairs { _G, known, env } do add_matching(names, t, "", prefix) end
    each_local(function(name) add_matching(names, { [name] = true }, "", prefix) end)
  end
  for name in pairs(names) do list[#list + 1] = name end
  table.sort(list)
  return list
end

return M
