-- SPDX-License-Identifier: MIT
-- What `ublk-lua check` asks of Lua: which function handles which op, which
-- mistakes handlers made, what did not compile. Answers as JSON text, which
-- core/check.c reads.
local C = require "ublk.ffi"
local context = require "ublk.context"
local holds = require "ublk.holds"
local json = require "ublk.json"
local layers = require "ublk.layers"
local report = require "ublk.report"
local traces = require "ublk.traces"

local M = {}
local handlers, names
local layer_stack, counts -- the layers, and the mistakes of each by index
local depth -- of the queue: slots below it are requests
local waited, unwatch -- by layer: requests that it kept waiting; stops counting them

local order = { "handler", "read", "write", "flush", "discard", "write_zeroes" }

-- Bytes as people write them: 65536 is "64K".
local function size_text(bytes)
  for _, unit in ipairs { { "T", 2 ^ 40 }, { "G", 2 ^ 30 }, { "M", 2 ^ 20 }, { "K", 2 ^ 10 } } do
    if bytes >= unit[2] and bytes % unit[2] == 0 then
      return ("%d%s"):format(bytes / unit[2], unit[1])
    end
  end
  return ("%.0f"):format(bytes)
end

-- A list of { first, end } in sectors.
local function range_text(list)
  local parts = {}
  for i, range in ipairs(list) do
    if i == 4 and #list > 4 then
      parts[i] = ("and %d more"):format(#list - 3)
      break
    end
    parts[i] = size_text(range[1] * 512) .. ".."
      .. (range[2] < math.huge and size_text(range[2] * 512) or "")
  end
  return table.concat(parts, ", ")
end

local function is_everywhere(list)
  return #list == 1 and list[1][1] == 0 and list[1][2] == math.huge
end

-- In bytes: C knows where the device ends.
local function starts_of(list)
  local starts = {}
  for i, range in ipairs(list) do starts[i] = range[1] * 512 end
  return starts
end

local function list_layer(layer)
  for _, op in ipairs(order) do
    local func = layer[op]
    if func then
      local range = layer.range
      if op ~= "handler" then range = layers.range_of(layer, layers.ops[op]) end
      if range and is_everywhere(range) then range = nil end
      handlers[#handlers + 1] = { op = op == "handler" and "any" or op, layer = layer.name,
        place = traces.place(func), range = range and range_text(range),
        starts = range and starts_of(range) }
      names[func] = names[func] or op
    end
  end
end

-- A request that waits again is counted once: it has been parked before.
local function watch_waits(loop, queue)
  local reqs, suspend = queue.reqs, loop.suspend
  depth = queue.depth
  function loop.suspend(slot)
    if slot < depth and reqs[slot].verdict ~= C.UL_PARKED then
      local layer = context.layer[0]
      waited[layer] = (waited[layer] or 0) + 1
    end
    return suspend(slot)
  end
  unwatch = function() loop.suspend = suspend end
end

local function all_waits()
  local sum = 0
  for _, count in pairs(waited) do sum = sum + count end
  return sum
end

-- As traces.stop wants to know it.
local function waits(layer)
  if not layer then return next(waited) ~= nil end
  return (waited[layer] or 0) * 2 >= math.max(context.stats.layer[layer].seen, 1)
end

--- From now on mistakes are kept and not logged, and the compiler is watched. `stack`: the
-- device's layers, as layers.stack gives them. `loop` of loop.lua serves `queue` (struct ul_queue
-- *); nil where no request comes.
-- mistakes: of mistakes.lua, whose `counts` are by layer.
function M.watch(stack, loop, queue, mistakes)
  handlers, names, waited, unwatch, depth = {}, {}, {}, nil, 0
  layer_stack, counts = stack, mistakes and mistakes.counts or {}
  for _, layer in ipairs(stack) do list_layer(layer) end
  report.quiet = true
  if loop then watch_waits(loop, queue) end
  traces.start(names)
end

function M.text()
  if unwatch then unwatch() end
  local compiled, aborts, note = traces.stop(waits)
  local mistakes, more = report.take()
  local by_layer = {}
  for _, layer in ipairs(layer_stack) do by_layer[layer.name] = counts[layer.index] end
  return json.text { handlers = handlers, mistakes = mistakes, more_mistakes = more,
    waits = all_waits(), holds = holds.list(depth), layer_mistakes = by_layer,
    compiled = compiled, aborts = aborts, compiler = note }
end

return M
