-- SPDX-License-Identifier: MIT
-- Watches LuaJIT's compiler (jit.attach, as jit.v does) while a script is
-- checked: what it gave up on, where, and why. An abort is no mistake by
-- itself, LuaJIT tries again elsewhere; so what counts is how things stand at
-- the end: is the batch loop machine code, and which paths of the script's
-- functions leave it for the interpreter for good? When LuaJIT tries what is
-- left to chance, so nothing here may depend on which try came last.
local context = require "ublk.context"

local M = {}

local util, vmdef     -- jit.util; jit.vmdef, or false where LuaJIT's Lua files are not installed
local names           -- the script's handlers: function → op
local sites, starts   -- of aborts by key; of traces under way by number
local ids, last_id    -- functions as parts of keys
local good            -- traces that loop or lead to one that does
local loop_compiled, loop_started, flushes
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
  { "call of ", "each leaves the machine code and comes back: call it rarely" },
  { "FastFunc string", "this LuaJIT does not compile that; use bytes of buf, or do it rarely" },
  { "FastFunc", "this LuaJIT does not compile that function; call it rarely, or not at all" },
  { "C function", "call C through ffi instead, or rarely" },
  { "inner loop", "the loop is machine code, what is around it is not: ffi.copy or ffi.fill "
    .. "may do without" },
  { "leaving loop", "the loop is machine code, what is around it is not: ffi.copy or ffi.fill "
    .. "may do without" },
  { "loop unroll limit", "make the loop shorter, or move it into a function of its own" },
  { "call unroll limit", "recursion: use a loop" },
  { "too many snapshots", "split the handler: fewer branches on each request" },
  { "trace too long", "split the handler: less work on each request" },
  { "blacklisted", "something in that function does not compile" },
}

-- These come and go with the request at which LuaJIT happens to try, or follow from another one.
local passing = { "leaving loop", "lower frame", "blacklisted", "retry", "down-recursion",
  "error thrown", "hook called" }

-- How much a reason says: 1 nothing to the script's author, 2 something where there is no other.
local function rank_of(evidence)
  if not evidence.place then return 1 end
  for _, words in ipairs(passing) do
    if evidence.reason:find(words, 1, true) then return 2 end
  end
  return 3
end

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

local beside = { ["wait.lua"] = true, ["tasks.lua"] = true, ["report.lua"] = true }

-- The script's part of the stack at this moment: its innermost place, the handler it is in, and the
-- layer. Nothing for what waits, which is never compiled, for tasks, which no request runs, and for
-- mistakes, which are told anyway.
local function blame(reason)
  local found = { reason = reason }
  for level = 3, 40 do
    local info = debug.getinfo(level, "Slf")
    if not info then break end
    if beside[info.source:match "lua/ublk/([^/]*)$"] then return { reason = reason } end
    if not found.place and info.currentline > 0 and not is_library(info.source) then
      found.place = place_of(info.source, info.currentline)
    end
    found.handler = found.handler or names[info.func]
  end
  found.layer = context.layer[0]
  return found
end

-- A site keeps all that was found there: each try may take another path.
local function note(key, start, evidence)
  local site = sites[key] or { start = start, found = {} }
  sites[key] = site
  evidence.rank = rank_of(evidence)
  evidence.text = ("%s %s"):format(evidence.place or evidence.inside, evidence.reason)
  site.found[evidence.text] = evidence
  return site
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
    local called = debug.getinfo(3, "fn") -- under this function and its caller
    local name = function_text(called.func)
    if name == "C function" then name = called.name or name end
    local evidence = blame("call of " .. name)
    evidence.call = true
    note(key, start, evidence).final = true
  end
end

local function on_abort(number, func, pc, err, info)
  local start = starts[number]
  if not start then return end
  local evidence = blame(reason_text(err, info))
  if not evidence.place then -- in the library: as LuaJIT tells it
    local at = util.funcinfo(func, pc)
    if at.source and at.currentline then evidence.inside = place_of(at.source, at.currentline) end
  end
  local site = note(key_of(start), start, evidence)
  -- What goes on after a call that is not compiled is tried once.
  if start.exit == -1 then site.final = true end
end

local function on_trace(what, ...)
  if what == "start" then on_start(...)
  elseif what == "stop" then on_stop(...)
  elseif what == "abort" then on_abort(...)
  elseif what == "flush" then
    flushes = flushes + 1
    reset()
  end
end

--- Watch from now on; `handlers` tells the script's functions: function → op.
function M.start(handlers)
  util = require "jit.util"
  local ok, module = pcall(require, "jit.vmdef")
  vmdef, names, flushes = ok and module, handlers, 0
  reset()
  callback = on_trace
  jit.attach(callback, "trace")
end

-- waits(layer): do most of the requests that a layer sees wait? Then it is no matter what else
-- keeps them from being compiled. Without an argument: does any?
local function does_matter(site, evidence, waits)
  if evidence.rank == 1 then
    return not loop_compiled and site.start.batch_loop and not waits()
  end
  return (not loop_compiled or site.final) and not waits(evidence.layer)
end

-- By its text, so that what is the same is one: all that matters, and the highest rank of it.
local function gather(waits)
  local by_text, rank = {}, 1
  for _, site in pairs(sites) do
    for text, evidence in pairs(site.found) do
      if does_matter(site, evidence, waits) then
        evidence.handler = evidence.handler or by_text[text] and by_text[text].handler
        by_text[text] = evidence
        rank = math.max(rank, evidence.rank)
      end
    end
  end
  return by_text, rank
end

-- Where something says more, the rest is left out.
local function listed(waits)
  local by_text, rank = gather(waits)
  local texts, list = {}, {}
  for text, evidence in pairs(by_text) do
    if evidence.rank == rank then texts[#texts + 1] = text end
  end
  table.sort(texts)
  for i, text in ipairs(texts) do
    local e = by_text[text]
    list[i] = { handler = e.handler, place = e.place or e.inside, library = not e.place,
      reason = e.reason, call = e.call or false, hint = hint_for(e.reason) }
  end
  return list
end

--- Stop watching. Returns whether the batch loop is machine code (nil: it was never hot), the
-- paths that are not as a list of { handler, place, library, reason, call, hint }, and a note, if
-- any. `waits` as in does_matter.
function M.stop(waits)
  jit.attach(callback)
  if not jit.status() then return false, {}, "LuaJIT's compiler is off" end
  if not loop_started and flushes > 0 then
    return nil, {}, ("all machine code was thrown away, %d times: jit.flush?"):format(flushes)
  end
  if not loop_started then return nil, {} end
  return loop_compiled, listed(waits), not vmdef and "jit.vmdef is not installed here" or nil
end

return M
