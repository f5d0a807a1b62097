-- SPDX-License-Identifier: MIT
-- The stack of a device: its own functions, its `layers`, and those of a device
-- that is its backing, top to bottom in one flat list. Checks what a layer may
-- have, and tells which ops and which sectors the stack wants to see.
local C = require "ublk.ffi"
local counters = require "ublk.counters"
local text = require "ublk.text"
local units = require "ublk.units"

local M = {}

-- Op functions of a layer and the op that each serves.
M.ops = {
  read = C.UL_OP_READ,
  write = C.UL_OP_WRITE,
  flush = C.UL_OP_FLUSH,
  discard = C.UL_OP_DISCARD,
  write_zeroes = C.UL_OP_WRITE_ZEROES,
  zone_open = C.UL_OP_ZONE_OPEN,
  zone_close = C.UL_OP_ZONE_CLOSE,
  zone_finish = C.UL_OP_ZONE_FINISH,
  zone_append = C.UL_OP_ZONE_APPEND,
  zone_reset = C.UL_OP_ZONE_RESET,
  zone_reset_all = C.UL_OP_ZONE_RESET_ALL,
  report_zones = C.UL_OP_REPORT_ZONES,
}

M.op_name = {}
for name, op in pairs(M.ops) do M.op_name[op] = name end

-- Ops whose requests have a place; a range says nothing of the others. That of an append shows
-- when it has been made.
local has_place = {
  [C.UL_OP_READ] = true, [C.UL_OP_WRITE] = true, [C.UL_OP_DISCARD] = true,
  [C.UL_OP_WRITE_ZEROES] = true, [C.UL_OP_ZONE_OPEN] = true, [C.UL_OP_ZONE_CLOSE] = true,
  [C.UL_OP_ZONE_FINISH] = true, [C.UL_OP_ZONE_RESET] = true,
}

-- { "0", "1M" } is one range, { "0..1M", "1G.." } and { { 0, "1M" }, … } are lists.
local function is_list(value)
  if type(value) ~= "table" then return false end
  local first = value[1]
  return first == nil or type(first) == "table"
    or type(first) == "string" and units.range(first) ~= nil
end

-- Sorted, and what touches joined; so the order in which they are said does not matter.
local function union(list)
  table.sort(list, function(a, b) return a[1] < b[1] end)
  local joined = {}
  for _, range in ipairs(list) do
    local last = joined[#joined]
    if last and range[1] <= last[2] then
      last[2] = math.max(last[2], range[2])
    else
      joined[#joined + 1] = { range[1], range[2] }
    end
  end
  return joined
end

-- Without holes, and nothing in it but the list.
local function is_whole(list)
  local count = 0
  for key in pairs(list) do
    if type(key) ~= "number" or key % 1 ~= 0 or key < 1 or key > #list then return false end
    count = count + 1
  end
  return count == #list
end

-- A layer's `range` as a list of { first, end } in sectors, or nil and what is accepted, and of a
-- list which item is not.
local function ranges(value)
  if type(value) == "table" and not is_whole(value) then
    return nil, "a range, or a list of ranges without holes"
  end
  local list, many = {}, is_list(value)
  for i, item in ipairs(many and value or { value }) do
    local range, accepted = units.range(item)
    if not range then return nil, accepted, many and i end
    list[i] = { range[1] / 512, range[2] / 512 }
  end
  return union(list)
end

local readers = {
  name = function(value)
    if not counters.misnamed(value) then return value end
    return nil, ("a name of at most %d bytes"):format(C.UL_NAME - 1)
  end,
  data = function(value)
    if type(value) == "boolean" then return value end
    return nil, "true or false"
  end,
  range = ranges,
}

local function handler(value)
  return type(value) == "function" and value or nil, "a function"
end

for name in pairs(M.ops) do readers[name] = handler end
readers.handler = handler

--- Fields that a layer may have, and a device as the topmost layer of its stack.
M.fields = {}
for name in pairs(readers) do M.fields[#M.fields + 1] = name end
table.sort(M.fields)

local function is_field(name) return readers[name] ~= nil end
M.is_field = is_field

local function handles_any(layer)
  if layer.handler then return true end
  for name in pairs(M.ops) do
    if layer[name] then return true end
  end
  return false
end

-- One layer of the stack from the table `t`; `where` begins what is said of mistakes.
local function layer_from(t, where, default_name)
  local layer = { name = default_name, data = true }
  for name in pairs(readers) do
    if t[name] ~= nil then
      local value, accepted, i = readers[name](t[name])
      if accepted and not value then
        if i then text.refuse(("%s%s[%d]"):format(where, name, i), t[name][i], accepted) end
        text.refuse(where .. name, t[name], accepted)
      end
      layer[name] = value
    end
  end
  return layer
end

local function push(stack, layer)
  if #stack == C.UL_LAYERS then
    error(("more than %d layers"):format(C.UL_LAYERS - 1), 0) -- beside the device's own functions
  end
  layer.index = #stack
  stack[#stack + 1] = layer
end

local function check_fields(layer, place)
  for name in pairs(layer) do
    if not is_field(name) then
      error(("%s: unknown field %s; a layer has %s"):format(place, text.show(name),
        table.concat(M.fields, ", ")), 0)
    end
  end
end

-- A layer that is false is left out: `layers = { a, opt.slow and b, c }`.
local function push_list(stack, list, where)
  if type(list) ~= "table" then text.refuse(where .. "layers", list, "a list of tables") end
  if not is_whole(list) then
    error(where .. "layers: a list of tables, without holes, is needed: layers = { { … }, … }", 0)
  end
  for i = 1, #list do
    local place = ("layers[%d]"):format(i)
    if list[i] then
      if type(list[i]) ~= "table" then text.refuse(where .. place, list[i], "a table") end
      check_fields(list[i], where .. place)
      push(stack, layer_from(list[i], where .. place .. ".", "layer " .. i))
    end
  end
end

--- The stack of `device` and of the devices that are its backings.
-- is_device(backing) tells those. A list of { index, name, data, range, handler, OP = function };
-- range is a list of { first, end } in sectors. The device's own functions are index 0, always.
function M.stack(device, is_device)
  local stack, where, name = {}, "", "device"
  repeat
    local own = layer_from(device, where, name)
    if #stack == 0 or handles_any(own) then push(stack, own) end
    if device.layers ~= nil then push_list(stack, device.layers, where) end
    device, where, name = device.backing, where .. "backing.", "backing"
  until not is_device(device)
  return stack
end

--- The sectors in which `layer` looks at `op`, a list of { first, end }; nil: everywhere.
function M.range_of(layer, op)
  return has_place[op] and layer.range or nil
end

--- Does `layer` have a say in `op`? Not where its range is an empty list.
function M.handles(layer, op)
  local range = M.range_of(layer, op)
  if range and #range == 0 then return false end
  return layer.handler ~= nil or layer[M.op_name[op]] ~= nil
end

-- Can `f` see the data, which is its argument number `buf`?
local function takes(f, buf)
  if not f then return false end
  local info = debug.getinfo(f, "u")
  return info.isvararg or info.nparams >= buf
end

--- Can a layer of `stack` that has a say in `op` see its data?
function M.looks(stack, op)
  for _, layer in ipairs(stack) do
    if layer.data and M.handles(layer, op)
      and (takes(layer.handler, 4) or takes(layer[M.op_name[op]], 3)) then
      return true
    end
  end
  return false
end

--- Where `stack` wants to see `op`: false nowhere, true everywhere, or a list of { first, end }.
function M.interest(stack, op)
  local all, seen = {}, false
  for _, layer in ipairs(stack) do
    if M.handles(layer, op) then
      local list = M.range_of(layer, op)
      if not list then return true end
      seen = true
      for _, range in ipairs(list) do all[#all + 1] = range end
    end
  end
  if not seen then return false end
  all = union(all)
  return #all <= C.UL_RANGES and all or true
end

return M
