-- SPDX-License-Identifier: MIT
-- The batch loop: C enters it once per wakeup; it calls the handler of each
-- request and writes the verdict into the request. It runs inside a worker
-- coroutine, so that a handler can be left waiting while a fresh worker takes
-- the rest of the batch. Kept small and without branches on rare things: it
-- must compile, and everything that handlers cost is measured against it.
local C = require "ublk.ffi"
local device = require "ublk.device"
local errno = require "ublk.errno"
local report = require "ublk.report"

local M = {}

local PASS, DONE = C.UL_PASS, C.UL_DONE
local EIO = errno.verdict.EIO
local IDLE = {} -- what a worker yields when its batch is done

local op_name = {}
for name, op in pairs(device.ops) do op_name[op] = name end

-- A table of data pointers by tag for ops that have data; an empty one for the others.
local function buffers_by_op(queue)
  local buffers, none, by_op = {}, {}, {}
  for tag = 0, queue.depth - 1 do
    buffers[tag] = queue.buffers + tag * queue.max_io
  end
  for op in pairs(op_name) do by_op[op] = none end
  by_op[C.UL_OP_READ], by_op[C.UL_OP_WRITE] = buffers, buffers
  by_op[C.UL_OP_ZONE_APPEND], by_op[C.UL_OP_REPORT_ZONES] = buffers, buffers
  return by_op
end

local function describe(value)
  return type(value) == "string" and ("%q"):format(value) or type(value) == "number"
    and tostring(value) or "a " .. type(value)
end

-- The rare verdicts: a handler that threw, or returned what is no verdict.
local function mistaken(req, ok, verdict)
  local name = op_name[req.op]
  if not ok then
    local trace = tostring(verdict)
    report.mistake(("%s: %s"):format(name, trace:match "^[^\n]*"),
      ("%s: the handler failed, the request gets EIO: %s"):format(name, trace))
  elseif errno.refused[verdict] then
    report.mistake(("%s: the handler's verdict is refused, EIO instead: %s"):format(name,
      errno.refused[verdict]))
  else
    report.mistake(("%s: the handler returned %s, which is no verdict (nil, true, an errno "
      .. "name or a negative errno are); the request gets EIO"):format(name, describe(verdict)))
  end
  return EIO
end

--- Make the function serve(count) for `queue` (struct ul_queue *) and `handlers` by op number.
function M.new(queue, handlers)
  local batch, reqs, buffers = queue.batch, {}, buffers_by_op(queue)
  local verdicts, traceback, xpcall = errno.verdict, debug.traceback, xpcall
  local position, count = 0, 0 -- in the batch: the request being served, and its end

  for tag = 0, queue.depth - 1 do reqs[tag] = queue.reqs + tag end

  local function serve_rest()
    for i = position, count - 1 do
      position = i
      local tag = batch[i]
      local req = reqs[tag]
      local op = req.op
      local ok, verdict = xpcall(handlers[op], traceback, req.sector, req.length,
        buffers[op][tag], req)
      if ok and verdict == nil then
        req.verdict = PASS
      elseif ok and verdict == true then
        req.verdict = DONE
      else
        req.verdict = ok and verdicts[verdict] or mistaken(req, ok, verdict)
      end
    end
  end

  local function work()
    while true do
      serve_rest()
      coroutine.yield(IDLE)
    end
  end

  local worker = coroutine.create(work)
  return function(n)
    position, count = 0, n
    while true do
      local ok, what = coroutine.resume(worker)
      if ok and what == IDLE then return end
      -- The handler yielded to us and nobody would ever resume it.
      report.mistake(ok and "a handler called coroutine.yield by itself; its request gets EIO"
        or "the batch loop failed: " .. tostring(what))
      reqs[batch[position]].verdict = EIO
      position = position + 1
      worker = coroutine.create(work)
    end
  end
end

return M
