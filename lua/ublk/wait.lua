-- SPDX-License-Identifier: MIT
-- What makes a handler or a task wait: time, the layers and the backing below,
-- a name that others release or signal. Each parks the fiber that calls it in
-- its slot; see core/park.h for how a slot is woken.
local ffi = require "ffi"
local C = require "ublk.ffi"
local errno = require "ublk.errno"
local random = require "ublk.random"
local text = require "ublk.text"
local units = require "ublk.units"

local M = {}

local PASS, FORWARDED = C.UL_PASS, bit.bor(C.UL_MARK_HIT, C.UL_MARK_FORWARDED)

local queue, loop, stack -- of this state, once it is attached
local slots, results, forwarded -- of the queue
local held, waiting, permits = {}, {}, {} -- by name: slots, slots, a number
local word = {} -- by slot: what it is woken with

-- What a result of below means to a script: nil, or an errno that it can hand on.
local function result_name(result)
  if result == 0 then return nil end
  return errno.name[result] or "EIO"
end

--- Called once, by the engine.
function M.attach(to_queue, to_loop, to_stack)
  queue, loop, stack = to_queue, to_loop, to_stack
  slots, results, forwarded = queue.slots, queue.results, queue.forwarded
end

-- The slot of what runs and is about to wait.
local function slot_for(what, level)
  if not loop then error(what .. ": not while the script loads", 3) end
  return loop.slot(what, level or 3)
end

--- The queue is about to be gone: finalizers of the script may still call these.
function M.detach()
  queue, loop, stack = nil, nil, nil
  held, waiting, permits = {}, {}, {}
end

--- Seconds since the device started; 0 while the script loads.
function M.now()
  return queue and C.ul_now(queue) or 0
end

--- Seconds from what a user wrote; an error of the caller's caller, which is `what`.
function M.seconds_of(what, time)
  local seconds, accepted = units.time(time)
  if not seconds then error(("%s needs %s"):format(what, accepted), 3) end
  return seconds
end

local seconds_of = M.seconds_of

-- One of a range of times.
local function drawn(range)
  local ends, accepted = units.range(range, "time")
  if not ends then error("ublk.sleep needs " .. accepted, 3) end
  if ends[2] == math.huge then error("ublk.sleep needs a range that ends, as 2ms..10ms", 3) end
  return ends[1] + random.random() * (ends[2] - ends[1])
end

--- Wait `time`: seconds, a text such as "5ms", or a range of which one is drawn, { from, to } as an
-- option of type range gives it or a text such as "2ms..10ms".
function M.sleep(time, more)
  if more ~= nil then error("ublk.sleep takes one time, or a range: { from, to }", 2) end
  local seconds = type(time) ~= "table" and units.time(time) or drawn(time)
  local slot = slot_for "ublk.sleep"
  C.ul_park_until(queue, slot, C.ul_now(queue) + seconds)
  loop.suspend(slot)
end

local function check_name(what, name)
  if type(name) ~= "string" and type(name) ~= "number" or name ~= name then
    error(what .. " needs a name, a text or a number", 3)
  end
end

local function wake(slot, with)
  word[slot] = with
  C.ul_park_wake(queue, slot)
end

-- The device is about to end, and nobody is to keep a request of it. Tasks keep none: they wait on.
local function must_let_go(slot)
  return queue.stopping ~= 0 and slot < queue.depth
end

-- A name that nobody waits for is forgotten: there may be as many as sectors.
local function keep(list_of, name, list)
  list_of[name] = #list > 0 and list or nil
end

local function remove(list_of, name, slot)
  local list = list_of[name] or {}
  for i, other in ipairs(list) do
    if other == slot then table.remove(list, i) break end
  end
  keep(list_of, name, list)
end

-- Returns what the slot is woken with; "ETIMEDOUT" when that does not happen in `seconds`, if any.
local function wait_in(list_of, name, slot, seconds)
  word[slot] = nil
  if must_let_go(slot) then
    wake(slot, "EIO") -- and it stops here all the same: a handler may wait in a loop
  else
    local list = list_of[name] or {}
    list_of[name] = list
    list[#list + 1] = slot
    if seconds then -- last: a timer of one that has failed would wake who has the slot next
      word[slot] = "ETIMEDOUT"
      C.ul_park_until(queue, slot, C.ul_now(queue) + seconds)
    end
  end
  loop.suspend(slot)
  if word[slot] == "ETIMEDOUT" then remove(list_of, name, slot) end
  return word[slot]
end

--- Wait until somebody releases `name`; returns the verdict that he gives. "ETIMEDOUT" when nobody
-- does in `timeout` (seconds or text, default: for ever), "EIO" in a handler when the device is
-- about to end.
function M.hold(name, timeout)
  check_name("ublk.hold", name)
  local seconds = timeout and seconds_of("ublk.hold", timeout)
  return wait_in(held, name, slot_for "ublk.hold", seconds)
end

--- Let all that hold `name` go on with `verdict`, in the order in which they came. Returns how
-- many.
function M.release(name, verdict)
  check_name("ublk.release", name)
  local list = held[name] or {}
  held[name] = nil
  for _, slot in ipairs(list) do wake(slot, verdict) end
  return #list
end

--- Wait for a signal of `name`, or take one that was given before. Returns nil; "ETIMEDOUT" when
-- none comes in `timeout` (seconds or text, default: for ever), "EIO" in a handler when the device
-- is about to end.
function M.wait(name, timeout)
  check_name("ublk.wait", name)
  local seconds = timeout and seconds_of("ublk.wait", timeout)
  if permits[name] then
    permits[name] = permits[name] > 1 and permits[name] - 1 or nil
    return nil
  end
  return wait_in(waiting, name, slot_for "ublk.wait", seconds)
end

--- Let `n` (default 1) that wait for `name` go on, first come first; what nobody waits for is kept.
function M.signal(name, n)
  check_name("ublk.signal", name)
  n = n or 1
  if type(n) ~= "number" or n % 1 ~= 0 or n < 1 then
    error("ublk.signal needs a whole number from 1", 2)
  end
  local list = waiting[name] or {}
  local woken = math.min(n, #list)
  local rest = {}
  for i, slot in ipairs(list) do
    if i <= woken then wake(slot) else rest[#rest + 1] = slot end
  end
  keep(waiting, name, rest)
  if n > woken then permits[name] = (permits[name] or 0) + n - woken end
end

--- Slots by name that hold it, and that wait for a signal of it: for inspect.lua.
function M.pending() return held, waiting end

local function let_go(list_of)
  local ended = {}
  for name, list in pairs(list_of) do
    local rest = {}
    for _, slot in ipairs(list) do
      local to = must_let_go(slot) and ended or rest
      to[#to + 1] = slot
    end
    keep(list_of, name, rest)
  end
  table.sort(ended) -- pairs goes another way in each run
  for _, slot in ipairs(ended) do wake(slot, "EIO") end
end

--- The device is about to end: no handler waits for a name any more.
function M.stopping()
  queue.stopping = 1
  let_go(held)
  let_go(waiting)
end

-- Have the backing do what the slot's `io` says; 0 or a negative errno.
local function backing_io(slot)
  C.ul_park_io(queue, slot)
  loop.suspend(slot)
  return results[slot]
end

local function check_place(what, sector, length)
  if type(sector) ~= "number" or sector % 1 ~= 0 or sector < 0 or type(length) ~= "number"
    or length % 512 ~= 0 or length < 512 or length >= 2 ^ 32 then
    error(what .. " needs a sector, and a length in bytes that is a multiple of 512", 3)
  end
end

-- How much a handler's own buffer holds from `at` on; what another pointer does nobody knows.
local function room_in_own(at)
  local offset = tonumber(at - queue.buffers)
  if offset < 0 or offset >= queue.depth * queue.stride then return math.huge end
  return queue.max_io - offset % queue.stride
end

local function check_buffer(what, buf, length)
  local instance = type(buf) == "cdata" and tostring(buf):find "^cdata" -- and no type
  local kind = instance and buf ~= nil and tostring(ffi.typeof(buf)) or ""
  local size
  if kind:find "%]>$" then
    size = ffi.sizeof(buf)
  elseif kind:find "%*>$" then
    size = room_in_own(ffi.cast("uint8_t *", buf))
  else
    error(what .. ' needs a buffer: the handler\'s own, or ffi.new("uint8_t[?]", length)', 3)
  end
  if size < length then
    error(("%s: a buffer of %d bytes is too small for %d"):format(what, size, length), 3)
  end
end

local function backing_op(what, op, sector, length, buf)
  local slot = slot_for(what)
  local io = slots[slot].io
  io.op, io.sector, io.length, io.flags = op, sector, length, 0
  io.buf = ffi.cast("uint8_t *", buf)
  return result_name(backing_io(slot))
end

--- The backing itself, below all layers. Each returns nil, or the errno's name.
M.backing = {}

function M.backing.read(self, sector, length, buf)
  if type(self) ~= "table" then text.needs_colon "ublk.backing:read(sector, length, buf)" end
  check_place("ublk.backing:read", sector, length)
  check_buffer("ublk.backing:read", buf, length)
  return backing_op("ublk.backing:read", C.UL_OP_READ, sector, length, buf)
end

function M.backing.write(self, sector, length, buf)
  if type(self) ~= "table" then text.needs_colon "ublk.backing:write(sector, length, buf)" end
  check_place("ublk.backing:write", sector, length)
  check_buffer("ublk.backing:write", buf, length)
  return backing_op("ublk.backing:write", C.UL_OP_WRITE, sector, length, buf)
end

function M.backing.discard(self, sector, length)
  if type(self) ~= "table" then text.needs_colon "ublk.backing:discard(sector, length)" end
  check_place("ublk.backing:discard", sector, length)
  return backing_op("ublk.backing:discard", C.UL_OP_DISCARD, sector, length)
end

function M.backing.write_zeroes(self, sector, length)
  if type(self) ~= "table" then text.needs_colon "ublk.backing:write_zeroes(sector, length)" end
  check_place("ublk.backing:write_zeroes", sector, length)
  return backing_op("ublk.backing:write_zeroes", C.UL_OP_WRITE_ZEROES, sector, length)
end

function M.backing.flush(self)
  if type(self) ~= "table" then text.needs_colon "ublk.backing:flush()" end
  return backing_op("ublk.backing:flush", C.UL_OP_FLUSH, 0, 0)
end

-- Methods of `req`.
local methods = {}

-- The slot of the handler that runs, whose request this must be.
local function own_slot(what, view)
  local slot = slot_for(what, 4)
  if view.tag ~= slot then error(what .. ": only on the request of the handler that runs", 3) end
  return slot
end

--- Have the layers below and the backing serve the request now. Returns nil, or the errno's name.
-- After it, a handler that returns nothing leaves the request at that.
function methods.forward(view)
  if type(view) ~= "cdata" then text.needs_colon "req:forward()" end
  local slot = own_slot("req:forward", view)
  local result = stack.ask_below(slot)
  if result == PASS then
    C.ul_park_forward(queue, slot)
    loop.suspend(slot)
    result = results[slot]
  else
    queue.reqs[slot].marks = bit.bor(queue.reqs[slot].marks, FORWARDED)
  end
  forwarded[slot] = result
  return result_name(result)
end

--- Count the request as a hit of this layer, which gives no verdict and does not wait.
function methods.hit(view)
  if type(view) ~= "cdata" then text.needs_colon "req:hit()" end
  local req = queue.reqs[view.tag]
  req.marks = bit.bor(req.marks, C.UL_MARK_HIT)
end

--- Where the data of a zone_append is: its first sector once it has been forwarded, else nil.
function methods.placed(view)
  if type(view) ~= "cdata" then text.needs_colon "req:placed()" end
  if view.op == C.UL_OP_ZONE_APPEND and view._placed ~= nil and view._placed[0] >= 0 then
    return view._placed[0]
  end
  return nil
end

--- The request's metadata and how many bytes of it there are, or nil where it has none.
function methods.metadata(view)
  if type(view) ~= "cdata" then text.needs_colon "req:metadata()" end
  if bit.band(view.flags, C.UL_FLAG_INTEGRITY) == 0 then return nil end
  return queue.metadata + view.tag * queue.metadata_stride,
    view.length / queue.interval * queue.metadata_size
end

ffi.metatype("struct ul_view", { __index = methods })

return M
