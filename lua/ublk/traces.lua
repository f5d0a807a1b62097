-- SPDX-License-Identifier: MIT
-- Watches LuaJIT's compiler (jit.attach, as jit.v does) while a script is
-- checked: what it gave up on, where, and why. An abort is no mistake by
-- itself, LuaJIT tries again elsewhere; so what counts is how things stand at
-- the end: is the batch loop machine code, and which paths of the script's
-- functions leave it for the interpreter for good?
local M = {}

local util, vmdef     -- jit.util; jit.vmdef, or false where LuaJIT's Lua files are not installed
local names           -- the script's handlers: function → op
local sites, starts   -- of aborts by key; of traces under way by number
local ids, last_id    -- functions as parts of keys
local good            -- traces that loop or lead to one that does
local loop_compiled, loop_started
local callback

local hints = {
  { "FNEW", "move the closure out of the handler" },
  { "UCLO", "a local that a closure keeps is made in the handler: move it out" },
  { "ITERN", "use a numeric for or ipairs; this LuaJIT does not compile pairs" },
  { "ISNEXT", "use a numeric for or ipairs; this LuaJIT does not compile pairs" },
  { "FastFunc next", "use a numeric for or ipairs; this LuaJIT does not compile pairs" },
  { "VARG", "name the parameters instead of ..." },
  { "FastFunc error", "return an errno name instead of throwing" },
  { "error thrown", "return an errno name instead of throwing" },
  { "calls a function", "each call leaves the machine code and comes back: call it rarely" },
  { "FastFunc string", "this LuaJIT does not compile that; use bytes of buf, or do it rarely" },
  { "FastFunc", "this LuaJIT does not compile that function; call it rarely, or not at all" },
  { "C function", "call C through ffi instead, or rarely" },
  { "inner loop", "the loop is machine code, what is around it is not: ffi.copy or ffi.fill "
    .. "may do without" },
  { "leaving loop", "the loop is machine code, what is around it is not: ffi.copy or ffi.fill "
    .. "may do without" },
  { "lower frame", "what comes before a call or loop that does not compile is compiled alone" },
  { "loop unroll limit", "make the loop shorter, or move it into a function of its own" },
  { "call unroll limit", "recursion: use a loop" },
  { "too many snapshots", "split the handler: fewer branches on each request" },
  { "trace too long", "split the handler: less work on each request" },
  { "blacklisted", "something in that function does not compile" },
}

local function hint_for(reason)
  for _, row in ipairs(hints) do
    if reason:find(row[1], 1, true) then return row[2] end
  end
end

-- A file of lua/ublk, or code that one of them has made.
local function is_library(source)
  return source:find("lua/ublk/", 1, true) ~= nil or source:find "^[=@]?ublk%." ~= nil
end

local function place_of(source, line)
  return ("%s:%d"):format(source:gsub("^[@=]", ""):match "[^/]*$", line)
end

--- Where a function is defined: "faulty.lua:19".
function M.place(func)
  local info = debug.getinfo(func, "S")
  return place_of(info.source, info.linedefined)
end

local function op_text(number)
  if not vmdef then return tostring(number) end
  return (vmdef.bcnames:sub(number * 6 + 1, number * 6 + 6):gsub("%s+$", ""))
end

local function function_text(func)
  local info = util.funcinfo(func)
  if info.ffid then return vmdef and vmdef.ffnames[info.ffid] or "of LuaJIT" end
  if info.addr then return "C function" end
  return info.loc or "?"
end

-- The compiler's words for why; without jit.vmdef only their number is known.
local function reason_text(err, info)
  if type(err) ~= "number" then return tostring(err) end
  local template = vmdef and vmdef.traceerr[err]
  if not template then return "reason " .. err .. " (no jit.vmdef here to tell it in words)" end
  if type(info) == "function" then info = function_text(info) end
  if template:find "bytecode" and type(info) == "number" then
    return (template:gsub("%%[ds]", function() return "'" .. op_text(info) .. "'" end))
  end
  local ok, text = pcall(string.format, template, info)
  return ok and text or template
end

-- The script's part of the stack at this moment: its innermost place, and which handler it is in.
-- Nothing for what waits: that is never compiled, and nobody can do anything about it.
local function blame()
  local place, handler
  for level = 3, 40 do
    local info = debug.getinfo(level, "Slf")
    if not info then break end
    if info.source:find("lua/ublk/wait.lua", 1, true) then return nil end
    if not place and info.currentline > 0 and not is_library(info.source) then
      place = place_of(info.source, info.currentline)
    end
    handler = handler or names[info.func]
  end
  return place, handler
end

-- One key for all tries at the same: a loop or function by its place, an exit of a trace by that.
local function key_of(start)
  if start.parent then return ("%d/%d"):format(start.parent, start.exit) end
  if not ids[start.func] then
    last_id = last_id + 1
    ids[start.func] = last_id
  end
  return ("%d@%d"):format(ids[start.func], start.pc)
end

local function reset()
  sites, starts, ids, last_id, good = {}, {}, {}, 0, {}
  loop_compiled, loop_started = false, false
end

local function on_start(number, func, pc, parent, exit)
  local source = util.funcinfo(func).source or ""
  local start = { func = func, pc = pc, parent = parent, exit = exit }
  start.in_library = is_library(source)
  start.batch_loop = not parent and source:find("lua/ublk/loop.lua", 1, true) ~= nil
  starts[number] = start
  loop_started = loop_started or start.batch_loop
end

-- A side exit that failed often is closed with a trace that only leads to the interpreter. One that
-- ends with "stitch" calls what is not compiled, and goes on behind it with another trace.
local function on_stop(number)
  local start = starts[number]
  if not start then return end
  local info = util.traceinfo(number)
  local key, link = key_of(start), info.linktype
  -- One that ends with "return" has seen the loop's end alone.
  good[number] = link == "stitch" or link == "loop" or link == "root" and good[info.link]
  if start.batch_loop and good[number] then loop_compiled = true end
  if sites[key] and start.parent and link == "interpreter" then
    sites[key].final = true
  else
    sites[key] = nil
  end
  if link == "stitch" then
    local place, handler = blame()
    sites[key] = { count = 1, start = start, place = place, handler = handler, final = true,
      reason = "calls a function that LuaJIT does not compile" }
  end
end

local function on_abort(number, func, pc, err, info)
  local start = starts[number]
  if not start then return end
  local key = key_of(start)
  local site = sites[key] or { count = 0, start = start }
  sites[key] = site
  site.count = site.count + 1
  site.reason = reason_text(err, info)
  site.place, site.handler = blame()
  if not site.place then -- in the library: as LuaJIT tells it
    local at = util.funcinfo(func, pc)
    if at.source and at.currentline then site.inside = place_of(at.source, at.currentline) end
  end
  -- What goes on after a call that is not compiled is tried once.
  if start.exit == -1 then site.final = true end
end

local function on_trace(what, ...)
  if what == "start" then on_start(...)
  elseif what == "stop" then on_stop(...)
  elseif what == "abort" then on_abort(...)
  elseif what == "flush" then reset() end
end

--- Watch from now on; `handlers` tells the script's functions: function → op.
function M.start(handlers)
  util = require "jit.util"
  local ok, module = pcall(require, "jit.vmdef")
  vmdef, names = ok and module, handlers
  reset()
  callback = on_trace
  jit.attach(callback, "trace")
end

local function does_matter(site)
  local scripted = site.handler ~= nil or site.place ~= nil
  if not loop_compiled then return scripted or site.start.batch_loop end
  return site.final and scripted
end

-- Sites of the same place and reason are one.
local function listed()
  local list, by_text = {}, {}
  for _, site in pairs(sites) do
    if does_matter(site) then
      local place = site.place or site.inside
      local text = (site.handler or "") .. tostring(place) .. site.reason
      if not by_text[text] then
        by_text[text] = { handler = site.handler, place = place, reason = site.reason, count = 0,
          hint = hint_for(site.reason) }
        list[#list + 1] = by_text[text]
      end
      by_text[text].count = by_text[text].count + site.count
    end
  end
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return tostring(a.place) .. a.reason < tostring(b.place) .. b.reason
  end)
  return list
end

--- Stop watching. Returns whether the batch loop is machine code (nil: it was never hot), the
-- paths that are not as a list of { handler, place, reason, hint, count }, and a note, if any.
function M.stop()
  jit.attach(callback)
  if not jit.status() then return false, {}, "LuaJIT's compiler is off" end
  if not loop_started then return nil, {} end
  return loop_compiled, listed(), not vmdef and "jit.vmdef is not installed here" or nil
end

return M
