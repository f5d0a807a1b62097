-- SPDX-License-Identifier: MIT
-- The names that handlers and tasks wait for in ublk.hold and ublk.wait, and
-- how many of each there are: for `check` and for a running device's clients.
local wait = require "ublk.wait"

local M = {}

local function add(list, kind, list_of, depth)
  for name, slots in pairs(list_of) do
    local count = 0
    for _, slot in ipairs(slots) do count = count + (slot < depth and 1 or 0) end
    if count > 0 then list[#list + 1] = { kind = kind, name = tostring(name), count = count } end
  end
end

--- A list of { kind = "hold" or "wait", name, count }, the commonest first, of slots below `depth`:
-- the queue's depth for requests alone, tasks may wait for ever.
function M.list(depth)
  local list, held, waiting = {}, wait.pending()
  add(list, "hold", held, depth)
  add(list, "wait", waiting, depth)
  table.sort(list, function(a, b)
    if a.count ~= b.count then return a.count > b.count end
    return a.kind .. a.name < b.kind .. b.name
  end)
  return list
end

return M
