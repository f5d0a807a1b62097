-- SPDX-License-Identifier: MIT
-- What clients of a running device ask of its script, in the queue's thread and
-- between two rounds: a request is words with zeros between them, its answer
-- an object of JSON with "ok", and "error" where that is false.
local errno = require "ublk.errno"
local eval = require "ublk.eval"
local holds = require "ublk.holds"
local json = require "ublk.json"
local options = require "ublk.options"
local text = require "ublk.text"
local wait = require "ublk.wait"

local M = {}
local device, depth

--- Called once, by the engine: the device's table, its layers, and its queue.
function M.attach(loaded, layers, queue)
  device, depth = loaded, queue.depth
  eval.attach(loaded, layers)
end

local function refuse(...) error({ refused = text.line(string.format(...)) }, 0) end

local function read_verdict(word)
  if word == nil or word == "" then return nil end
  if word == "true" then return true end
  if type(errno.verdict[word]) ~= "number" then
    refuse("%s: a verdict is an errno's name such as EIO, true, or nothing", word)
  end
  return word
end

-- Each takes its words and returns the members of the answer, as JSON by name.
local commands = {}

function commands.eval(code)
  local ok, result = eval.run(code)
  if not ok then refuse("%s", result) end
  return { values = result }
end

function commands.complete(word)
  return { names = json.text(eval.complete(word)) }
end

function commands.set(...)
  local mistake = options.change { ... }
  if mistake then refuse("%s", mistake) end
  return { options = json.any(options.values()) }
end

function commands.hold()
  return { holds = json.text(holds.list(depth)) }
end

function commands.release(name, word)
  local verdict = read_verdict(word)
  local released = wait.release(name, verdict)
  if tonumber(name) then released = released + wait.release(tonumber(name), verdict) end
  return { released = json.text(released) }
end

function commands.mark(words)
  if device.mark then
    local ok, err = pcall(device.mark, words)
    if not ok then refuse("mark: %s", tostring(err)) end
  end
  return { marked = json.text(device.mark ~= nil) }
end

local function split(request)
  local words = {}
  for word in request:gmatch "(%Z*)%z" do words[#words + 1] = word end
  return words
end

local function answer(members)
  local parts = { '"ok":true' }
  for name, value in pairs(members) do parts[#parts + 1] = ('"%s":%s'):format(name, value) end
  return "{" .. table.concat(parts, ",") .. "}"
end

--- The answer to `request`.
function M.command(request)
  local words = split(request)
  local command = commands[words[1]]
  local ok, members
  if command then
    ok, members = pcall(command, unpack(words, 2))
  else
    ok, members = false, { refused = "unknown command" }
  end
  if ok then return answer(members) end
  local why = type(members) == "table" and members.refused or text.line(tostring(members))
  return json.text { ok = false, error = why }
end

return M
