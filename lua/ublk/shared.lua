-- SPDX-License-Identifier: MIT
-- ublk.shared: numbers that the scripts of all queues of a device see. Each
-- queue runs the script in a Lua state and a thread of its own, and a variable
-- of it is that queue's alone; these are the device's. In core/shared.c, by name.
local C = require "ublk.ffi"

local M = {}

local CELLS = 1 -- index in an object of its cells by name; scripts see only names
local MOST = 2 ^ 53

local Shared = {}

local function known(self)
  local names = {}
  for name in pairs(rawget(self, CELLS)) do names[#names + 1] = name end
  table.sort(names)
  return table.concat(names, ", ")
end

-- Level 3 is the script, where it called a method or named a field.
local function cell_of(self, name)
  if type(self) ~= "table" or not rawget(self, CELLS) then
    error("ublk.shared: call its methods with a colon: shared:add(name)", 3)
  end
  local cell = rawget(self, CELLS)[name]
  if not cell then
    error(("ublk.shared: no field %q; there is %s"):format(tostring(name), known(self)), 3)
  end
  return cell
end

local function whole(value)
  return type(value) == "number" and value >= -MOST and value <= MOST
    and value == math.floor(value)
end

local function needs_whole(name, value, level)
  error(("ublk.shared: %s: %s is no whole number within 2^53"):format(tostring(name),
    tostring(value)), level or 3)
end

--- shared:add(name [, n]): add `n`, or 1; returns what it is then.
function Shared.add(self, name, n)
  local cell = cell_of(self, name)
  n = n or 1
  if not whole(n) then needs_whole(name, n) end
  local sum = C.ul_shared_add(cell, n)
  if sum ~= sum then
    error(("ublk.shared: %s: with %.0f more it is not within 2^53 any more"):format(name, n), 2)
  end
  return sum
end

--- shared:cas(name, old, new): make it `new` if it is `old`. True when it was, false if not.
function Shared.cas(self, name, old, new)
  local cell = cell_of(self, name)
  if not whole(old) then needs_whole(name, old) end
  if not whole(new) then needs_whole(name, new) end
  return C.ul_shared_cas(cell, old, new) == 1
end

--- shared:max(name, value), shared:min(name, value): make it `value` if that is more, or less;
-- returns what it is then.
function Shared.max(self, name, value)
  local cell = cell_of(self, name)
  if not whole(value) then needs_whole(name, value) end
  return C.ul_shared_max(cell, value)
end

function Shared.min(self, name, value)
  local cell = cell_of(self, name)
  if not whole(value) then needs_whole(name, value) end
  return C.ul_shared_min(cell, value)
end

local meta = {}

function meta.__index(self, name)
  return Shared[name] or C.ul_shared_get(cell_of(self, name))
end

function meta.__newindex(self, name, value)
  local cell = cell_of(self, name)
  if not whole(value) then needs_whole(name, value) end
  C.ul_shared_set(cell, value)
end

local function check(name, value)
  if type(name) ~= "string" or name == "" or #name >= C.UL_NAME then
    error(("ublk.shared: %q: a field has a name of 1 to %d bytes"):format(tostring(name),
      C.UL_NAME - 1), 3)
  end
  if Shared[name] then
    error(("ublk.shared: %s is a method, a field needs another name"):format(name), 3)
  end
  if not whole(value) then needs_whole(name, value, 4) end
end

--- ublk.shared { name = initial value, … }: whole numbers (up to 2^53) of these names, the same in
-- all queues. Whoever comes first with a name sets its value; calls that name the same field get
-- the same number.
function M.shared(fields)
  if type(fields) ~= "table" or next(fields) == nil then
    error("ublk.shared needs its fields: ublk.shared { name = 0 }", 2)
  end
  local cells = {}
  for name, value in pairs(fields) do
    check(name, value)
    cells[name] = C.ul_shared_cell(name, value)
    if cells[name] == nil then
      error(("ublk.shared: %s is one too many, there is room for %d"):format(name,
        C.UL_SHARED), 2)
    end
  end
  return setmetatable({ [CELLS] = cells }, meta)
end

return M
