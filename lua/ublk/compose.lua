-- SPDX-License-Identifier: MIT
-- Makes one function out of the layers that handle an op, in Lua source: a
-- line for each, in their order, with their ranges as numbers and without the
-- layers that have no say. Written out rather than called in a loop, because
-- then a request's way through all layers is one straight trace.
local ffi = require "ffi"
local C = require "ublk.ffi"
local context = require "ublk.context"
local layers = require "ublk.layers"

local M = {}

-- { first, limit, first, limit, … } of a long list of ranges, and how many there are.
local function range_array(ranges)
  local array = ffi.new("double[?]", 2 * #ranges)
  for i, range in ipairs(ranges) do
    array[2 * i - 2], array[2 * i - 1] = range[1], range[2]
  end
  return { array, #ranges }
end

-- The first range that does not end before `sector` must begin before `last`. They are sorted.
local function touches(ranges, sector, last)
  local array, low, high = ranges[1], 0, ranges[2]
  while low < high do
    local middle = bit.rshift(low + high, 1)
    if array[2 * middle + 1] > sector then high = middle else low = middle + 1 end
  end
  return low < ranges[2] and array[2 * low] < last
end

-- Does a request that touches `sector` up to `last` touch one of the ranges? Few are written out.
local function condition(ranges, index)
  if #ranges > C.UL_RANGES then return ("touches(ranges[%d], sector, last)"):format(index) end
  local parts = {}
  for i, range in ipairs(ranges) do
    local from = ("last > %.17g"):format(range[1])
    parts[i] = range[2] == math.huge and from or ("sector < %.17g and %s"):format(range[2], from)
  end
  return table.concat(parts, " or ")
end

-- What calls the layer's functions, `handler` first; they are locals g<index> and h<index>.
local function call(layer, name)
  local args = layer.data and "sector, length, buf, req" or "sector, length, nil, req"
  if layer.handler and layer[name] then return ("b%d(%s)"):format(layer.index, args) end
  if layer.handler then return ("g%d(%q, %s)"):format(layer.index, name, args) end
  return ("h%d(%s)"):format(layer.index, args)
end

-- A layer with both is a function of its own: LuaJIT allows the whole chain 60 upvalues.
local both = [[
local function b$i(sector, length, buf, req)
local verdict = g$i($op, sector, length, buf, req)
if verdict == nil and not forwarded(req) then verdict = h$i(sector, length, buf, req) end
return verdict end]]

local line = [[
%s layer[0] = $i stats[$i].seen = stats[$i].seen + 1 verdict = %s
if verdict ~= nil then stats[$i].hit = stats[$i].hit + 1 return verdict end
if req._marks ~= 0 then verdict = after(req, $i) if verdict ~= nil then return verdict end end %s]]

local function layer_line(layer, op, guarded)
  local ranges = guarded and layers.range_of(layer, op)
  return (line:gsub("%$i", layer.index):format(
    ranges and ("if %s then"):format(condition(ranges, layer.index)) or "",
    call(layer, layers.op_name[op]), ranges and "end" or ""))
end

-- C looks at the union of all ranges. A layer that covers it need not look again.
local function needs_guard(layer, op, interest)
  local own = layers.range_of(layer, op)
  if not own or interest == true or #own ~= #interest then return own ~= nil end
  for i, range in ipairs(own) do
    if range[1] ~= interest[i][1] or range[2] ~= interest[i][2] then return true end
  end
  return false
end

--- A function (sector, length, buf, req) for `op` that asks the layers of `stack` from index
-- `first` on, and returns the first verdict; context.layer tells whose it is.
-- hooks: `stats` (struct ul_layer_stats *, by index); `after(req, index)`, which has the last word
-- on a request that its handler held up or forwarded, and `forwarded(req)`.
function M.chain(stack, op, first, hooks)
  local interest, name, lines = layers.interest(stack, op), layers.op_name[op], {}
  local joined = {}
  local ranges = {} -- the long ones, by layer: one variable, as a function may have but 60
  local names = { "layer", "stats", "after", "forwarded", "touches", "ranges" }
  local values = { context.layer, hooks.stats, hooks.after, hooks.forwarded, touches, ranges }
  local function pass(variable, index, value)
    if not value then return end
    names[#names + 1], values[#values + 1] = variable .. index, value
  end
  for _, layer in ipairs(stack) do
    if layer.index >= first and layers.handles(layer, op) then
      pass("g", layer.index, layer.handler)
      pass("h", layer.index, layer[name])
      local own = layers.range_of(layer, op)
      if own and #own > C.UL_RANGES then ranges[layer.index] = range_array(own) end
      if layer.handler and layer[name] then
        joined[#joined + 1] = both:gsub("%$i", layer.index):gsub("%$op", ("%q"):format(name))
      end
      -- C has looked only at where the whole stack is interested, not the layers from `first` on.
      lines[#lines + 1] = layer_line(layer, op, first > 0 or needs_guard(layer, op, interest))
    end
  end
  local text = ("local %s = ...\n%s\nreturn function(sector, length, buf, req)\n"
    .. "local verdict, last = nil, sector + length / 512\n%s\nend"):format(
    table.concat(names, ", "), table.concat(joined, "\n"), table.concat(lines, "\n"))
  return assert(loadstring(text, "=ublk.layers"))(unpack(values))
end

return M
