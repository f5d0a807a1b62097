-- SPDX-License-Identifier: MIT
-- The batch loop: C resumes a fiber (a coroutine) once per wakeup; it asks the
-- layers for the verdict on each request and writes that into the request. A
-- handler that waits takes its fiber out of the batch, and C resumes another
-- for the rest. Kept small and without branches on rare things: it must
-- compile, and everything that handlers cost is measured against it.
local ffi = require "ffi"
local C = require "ublk.ffi"
local context = require "ublk.context"
local errno = require "ublk.errno"
local report = require "ublk.report"

local M = {}

-- Handlers get their request by this type: FFI refuses to write through it, so that no script can
-- change which tag is answered or what the backing is asked to do, and gives no pointer.
local view = ffi.typeof "const struct ul_view *"

local PASS, DONE = C.UL_PASS, C.UL_DONE
local EIO = errno.verdict.EIO

-- A table of data pointers by tag for ops that have data; an empty one for the others.
local function buffers_by_op(queue)
  local buffers, none, by_op = {}, {}, {}
  for tag = 0, queue.depth - 1 do
    buffers[tag] = queue.buffers + tag * queue.stride
  end
  for op = 0, C.UL_OP_COUNT - 1 do by_op[op] = none end
  for _, op in ipairs { C.UL_OP_READ, C.UL_OP_WRITE, C.UL_OP_ZONE_APPEND, C.UL_OP_REPORT_ZONES } do
    by_op[op] = buffers -- as transport_op_has_data says
  end
  return by_op
end

--- Make the batch loop of `queue` (struct ul_queue *).
-- chains: functions by op number, from compose.lua. mistakes: `catch` and `mistaken` of
-- mistakes.lua. tasks: run(slot) runs the task in a slot, drop(slot) ends one whose fiber is lost.
-- idle and parking: what a fiber yields to say that its work is done, or that it waits; C knows
-- them and no script can have them.
-- Returns a table of what C and wait.lua call.
function M.new(queue, chains, mistakes, tasks, idle, parking)
  local batch, reqs, views, buffers = queue.batch, {}, {}, buffers_by_op(queue)
  local verdicts, xpcall, depth = errno.verdict, xpcall, queue.depth
  local yield, running, isyieldable = coroutine.yield, coroutine.running, coroutine.isyieldable
  local status = coroutine.status
  local layer = context.layer
  local catch, mistaken = mistakes.catch, mistakes.mistaken
  local position, count = 0, 0 -- in the batch: the request being served, and its end
  local current, serving -- fibers: the one that runs; the one in the batch, nil when it left it
  local loop = { fibers = {} } -- fibers: all of them, kept from the collector

  for tag = 0, queue.depth - 1 do
    reqs[tag] = queue.reqs + tag
    views[tag] = ffi.cast(view, reqs[tag])
  end

  -- A fiber that has waited ends its request alone. One that C gave up, because it yielded to
  -- nobody, has none any more, whoever resumed it.
  local function finish_late(me, req, number)
    if me.lost then error("this request has been answered", 0) end
    req.verdict = number
  end

  local function serve_late(me, req, ok, verdict)
    finish_late(me, req, ok and (verdict == nil and PASS or verdict == true and DONE
      or verdicts[verdict]) or mistaken(req, ok, verdict))
  end

  local function serve_rest(me)
    current, serving = me, me
    for i = position, count - 1 do
      position = i
      local tag = batch[i]
      local req = reqs[tag]
      local op = req.op
      queue.at = tag
      local ok, verdict = xpcall(chains[op], catch, req.sector, req.length, buffers[op][tag],
        views[tag])
      if serving ~= me then return serve_late(me, req, ok, verdict) end
      if ok and verdict == nil then
        req.verdict = PASS
      elseif ok and verdict == true then
        req.verdict = DONE
      else
        local number = ok and verdicts[verdict] or mistaken(req, ok, verdict)
        -- on_error = "pass" may have led to a layer that waits
        if serving ~= me then return finish_late(me, req, number) end
        req.verdict = number
      end
    end
    serving = nil
  end

  -- Yield `token`, until C resumes the fiber: C says who it is. A script that resumes one, which it
  -- may know from coroutine.running, gets nothing, and the fiber goes on waiting.
  local function stop(token)
    local from, size, slot = yield(token)
    while from ~= idle do from, size, slot = yield() end
    return size, slot
  end

  -- C resumes a fiber with the size of a new batch, with nothing for the rest of the one at hand,
  -- or with nil and the slot of a task.
  local function work(me, size, slot)
    while true do
      if slot then
        current, serving, me.slot = me, nil, slot -- it may have served the last batch
        tasks.run(slot)
      else
        if size then position, count = 0, size end
        serve_rest(me)
      end
      size, slot = stop(idle)
    end
  end

  --- A fiber for C to resume.
  function loop.new_fiber()
    local me = {}
    me.co = coroutine.create(function(_, size, slot) work(me, size, slot) end)
    loop.fibers[me] = true
    return me.co
  end

  -- The fiber that stopped. Who yields runs, but a fiber may die before it has said that it runs;
  -- and where none could be made there is none.
  local function stopped(err)
    if err == nil then return current end
    for me in pairs(loop.fibers) do
      if status(me.co) == "dead" then return me end
    end
  end

  --- The fiber that C resumed for `slot`, or for the batch (nil), has stopped in another way than
  -- by waiting: `err`, or nil for a yield of the script's own. C drops it, and sees in queue.rest
  -- whether the batch goes on. A request in `slot` has got EIO from C.
  function loop.settle(err, slot)
    local me = stopped(err)
    if me then me.lost, loop.fibers[me] = true, nil end
    if me and serving == me then
      loop.leave(me)
      reqs[me.slot].verdict = EIO
    end
    local task = slot and slot >= depth
    if task then tasks.drop(slot) end
    if err == true then err = "with an error that is no text" end
    report.mistake(err and "the batch loop failed: " .. err
      or task and "a task called coroutine.yield by itself; it is ended"
      or "a handler called coroutine.yield by itself; its request gets EIO")
  end

  --- The fiber takes its request out of the batch; queue.rest tells C whether there are more.
  function loop.leave(me)
    me.slot = batch[position]
    position = position + 1
    queue.rest = position < count and 1 or 0
    serving = nil
  end

  --- The slot of the handler or task that runs; an error at `level` where nothing can wait.
  function loop.slot(what, level)
    local me = current
    if not me or running() ~= me.co then
      error(what .. ": only in a handler or a task, and not in a coroutine of its own", level)
    elseif not isyieldable() then
      error(what .. ": not inside a function that C calls, such as that of string.gsub", level)
    end
    return serving == me and batch[position] or me.slot
  end

  --- Wait until `slot`, which loop.slot gave and is parked by now, is woken.
  function loop.suspend(slot)
    local me, at = current, layer[0]
    queue.rest = 0
    if serving == me then loop.leave(me) end
    queue.parking = slot
    stop(parking)
    current, layer[0] = me, at
  end

  return loop
end

return M
