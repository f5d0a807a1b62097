-- SPDX-License-Identifier: MIT
-- What core/script.c calls: load a script, show its help, tie it to a queue,
-- end. load and help answer true, or an errno's name and a message: EINVAL
-- where the command line is wrong, ENOENT no such file, ENOEXEC a bad script.
local ffi = require "ffi"
local context = require "ublk.context"
local counters = require "ublk.counters"
local device = require "ublk.device"
local loop = require "ublk.loop"
local operate = require "ublk.operate"
local options = require "ublk.options"
local random = require "ublk.random"
local report = require "ublk.report"
local stack = require "ublk.stack"
local strict = require "ublk.strict"
local tasks = require "ublk.tasks"
local texts = require "ublk.text"
local wait = require "ublk.wait"

local ublk = require "ublk"

local M = {}
local loaded, loaded_layers -- the device table that the script returned, and its stack
local running, attached, own -- the batch loop, its queue, and mistakes.lua of its stack

-- An error thrown by a finalizer goes to wherever the collector happens to run: machine code, which
-- does not survive it, or C. What newproxy makes cannot be tamed, so there is none, and nobody gets
-- at that of files.
local function tame(finalizer)
  if type(finalizer) ~= "function" then return finalizer end
  return function(object)
    local ok, trace = xpcall(finalizer, report.traceback, object)
    if not ok then
      trace = "a finalizer failed: " .. tostring(trace)
      report.mistake(trace:match "^[^\n]*", trace)
    end
  end
end

local function tame_finalizers()
  local gc, metatype = ffi.gc, ffi.metatype
  ffi.gc = function(object, finalizer) return gc(object, tame(finalizer)) end
  ffi.metatype = function(ctype, meta)
    if type(meta) == "table" then meta.__gc = tame(rawget(meta, "__gc")) end
    return metatype(ctype, meta)
  end
  rawset(_G, "newproxy", nil)
  debug.getmetatable(io.stdin).__metatable = "file"
end

-- A script's own modules stand beside it, and not where root happens to be. Its output joins the
-- log, which never waits; it can end its device no more than a disk can; and what it has not
-- declared is no variable.
local function set_environment(path)
  strict.install()
  tame_finalizers()
  local beside = (path:match "^(.*/)" or "./") .. "?.lua"
  package.path = package.path:gsub("%./%?%.lua;?", "") .. ";" .. beside
  rawset(_G, "print", ublk.log)
  rawset(os, "exit", function() error("os.exit: a script cannot end its device", 2) end)
end

local function set_context(path, args, seed, queue)
  context.name = path:match "[^/]+$"
  context.args = args
  context.queue = queue
  ublk.queue = queue
  set_environment(path)
  random.seed(ffi.cast("const uint64_t *", seed)[0])
end

-- A script error. Errors that options.lua raises are tables that say what they are.
local function failure(err)
  local usage = type(err) == "table" and rawget(err, "usage")
  if type(usage) == "string" then return "EINVAL", usage end
  local ok, message = pcall(tostring, err)
  if not ok or type(message) ~= "string" then message = "an error that cannot be told as text" end
  return "ENOEXEC", texts.placed(message, context.name)
end

-- What load and help answer: true, or an errno's name and a message, which is one line.
local function answer(errno, message)
  return errno, message and texts.line(message)
end

-- The text that -e gives: an expression, as at Lua's prompt, or a whole script. What is put in
-- front of it stays on its first line, so that the lines in errors are its own.
local function load_text(text)
  local head = 'local ublk = require "ublk"; '
  local chunk, in_expression = loadstring(head .. "return " .. text, "=-e")
  if chunk then return chunk end
  local loaded_chunk, syntax = loadstring(head .. text, "=-e")
  if loaded_chunk then return loaded_chunk end
  -- No statement begins with a brace.
  return nil, "ENOEXEC", text:find "^%s*{" and in_expression or syntax
end

local function read_chunk(path, text)
  if text then return load_text(text) end
  local file, why = io.open(path, "r")
  if not file then return nil, "ENOENT", why end
  local readable, read_error = file:read(0), nil
  if readable == nil then read_error = select(2, file:read(1)) end
  file:close()
  if read_error then return nil, "ENOENT", ("%s: %s"):format(path, read_error) end
  local chunk, syntax = loadfile(path)
  if not chunk then return nil, "ENOEXEC", syntax end
  return chunk
end

local function load_chunk(path, text)
  local chunk, errno, message = read_chunk(path, text)
  local overwrites = chunk and strict.overwrites(chunk)
  if overwrites then return nil, "ENOEXEC", overwrites end
  return chunk, errno, message
end

local function load(path, args, seed, queue, c, stats, text)
  set_context(path, args, seed, queue)
  local given = ffi.cast("struct ul_script_stats *", stats)
  -- Light userdata is never nil, a pointer that is NULL is.
  context.stats = given ~= nil and given or ffi.new "struct ul_script_stats"
  local chunk, errno, message = load_chunk(path, text)
  if not chunk then return errno, message end

  local ok, result = pcall(chunk)
  if not ok then return failure(result) end
  ok, message = pcall(options.check_undeclared)
  if not ok then return failure(message) end
  ok, message = pcall(device.describe, result, ffi.cast("struct ul_device *", c))
  if not ok then return "ENOEXEC", ("%s: %s"):format(context.name, message) end
  loaded, loaded_layers = result, message
  return true
end

--- Load the script at `path`, or `text` of that name; `c` (struct ul_device *) gets its device, and
-- what the script counts goes to `stats` (struct ul_script_stats *, NULL: nobody wants to know).
function M.load(...) return answer(load(...)) end

-- The comment at the top of a script, which says what it is.
local function leading_comment(path, text)
  local lines = {}
  for line in text and (text .. "\n"):gmatch "(.-)\n" or io.lines(path) do
    local said = line:match "^%-%-%s?(.*)$"
    if said then
      if not said:find "^SPDX" then lines[#lines + 1] = said end
    elseif not line:find "^#!" then
      break
    end
  end
  return #lines > 0 and table.concat(lines, "\n") .. "\n\n" or ""
end

local function help(path, args, seed, queue, _, _, text)
  set_context(path, args, seed, queue)
  local chunk, errno, message = load_chunk(path, text)
  if not chunk then return errno, message end

  context.help = true
  local ok, err = pcall(chunk)
  local declarations = not ok and type(err) == "table" and err.help
  if not ok and not declarations then return failure(err) end
  local lines = declarations and options.help(declarations) or ""
  io.stdout:write(leading_comment(path, text),
    ("usage: ublk-lua [options] %s%s\n"):format(text and "-e CHUNK" or context.name,
      lines ~= "" and " [key=value ...]" or ""), lines ~= "" and "\n" .. lines .. "\n" or "")
  return true
end

--- Print what the script is and which options it takes. As load otherwise; nothing is counted.
function M.help(...) return answer(help(...)) end

-- Each layer gets its counters and its random numbers, by its name.
local function set_up_layers()
  local stats = context.stats.layer + 0
  for i, layer in ipairs(loaded_layers) do
    layer.name = ffi.string(counters.layer(layer.name).name)
    if i > 1 then random.add_stream(layer.index, layer.name) end
  end
  return stats
end

--- Tie the loaded script to `queue` (struct ul_queue *). `idle` and `parking` as in loop.new.
function M.attach(queue, idle, parking)
  queue = ffi.cast("struct ul_queue *", queue)
  attached = queue
  local on_error = device.on_error(loaded)
  local at_work = stack.new(loaded_layers, queue, set_up_layers(), on_error)
  own = at_work.mistakes
  running = loop.new(queue, at_work.chains, at_work.mistakes, tasks, idle, parking)
  wait.attach(queue, running, at_work)
  tasks.attach(queue, on_error)
  operate.attach(loaded, loaded_layers, queue)
end

--- For C: a coroutine to resume; what to do after one that failed; the device is about to end.
function M.new_fiber() return running.new_fiber() end

function M.settle(err, slot) running.settle(err, slot) end

function M.stopping() wait.stopping() end

--- A client's request to its answer, both as text; see operate.lua. For no fiber: it cannot wait.
function M.command(request)
  context.layer[0] = 0
  return operate.command(request)
end

--- For `ublk-lua check`: mistakes and what the compiler does are kept for M.inspect, not logged.
function M.watch()
  require("ublk.inspect").watch(loaded_layers, running, attached, own)
end

--- What was found since M.watch, as JSON.
function M.inspect()
  return require("ublk.inspect").text()
end

-- The queue is gone, or about to be; what the script has left for the collector comes after this.
function M.close()
  wait.detach()
  tasks.detach()
  report.close()
end

return M
