-- SPDX-License-Identifier: MIT
-- The batch loop: C resumes it once per wakeup; it calls the handler of each
-- request and writes the verdict into the request. It is a worker coroutine,
-- so that a handler can be left waiting while a fresh worker takes the rest of
-- the batch. Kept small and without branches on rare things: it must compile,
-- and everything that handlers cost is measured against it.
local ffi = require "ffi"
local C = require "ublk.ffi"
local device = require "ublk.device"
local errno = require "ublk.errno"
local report = require "ublk.report"

local M = {}

-- Handlers get their request by this type: FFI refuses to write through it, so that no script can
-- change which tag is answered or what the backing is asked to do.
local view = ffi.typeof "const struct ul_req *"

local PASS, DONE = C.UL_PASS, C.UL_DONE
local EIO = errno.verdict.EIO

local op_name = {}
for name, op in pairs(device.ops) do op_name[op] = name end

-- A table of data pointers by tag for ops that have data; an empty one for the others.
local function buffers_by_op(queue)
  local buffers, none, by_op = {}, {}, {}
  for tag = 0, queue.depth - 1 do
    buffers[tag] = queue.buffers + tag * queue.max_io
  end
  for op in pairs(op_name) do by_op[op] = none end
  by_op[C.UL_OP_READ], by_op[C.UL_OP_WRITE] = buffers, buffers -- as transport_op_has_data says
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
    report.mistake(name .. ": " .. trace:match "^[^\n]*",
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

--- Make the batch loop for `queue` (struct ul_queue *) and `handlers` by op number.
-- Returns a worker coroutine and a function. C resumes the worker with the batch's size; it
-- yields `idle` when the batch is done. When it stops otherwise C calls the function, with the
-- error or nil, which settles the request at hand and returns a new worker; that one, resumed
-- with nothing, serves the rest of the batch.
function M.new(queue, handlers, idle)
  local batch, reqs, views, buffers = queue.batch, {}, {}, buffers_by_op(queue)
  local verdicts, traceback, xpcall, yield = errno.verdict, debug.traceback, xpcall, coroutine.yield
  local position, count = 0, 0 -- in the batch: the request being served, and its end

  for tag = 0, queue.depth - 1 do
    reqs[tag] = queue.reqs + tag
    views[tag] = ffi.cast(view, reqs[tag])
  end

  local function serve_rest()
    for i = position, count - 1 do
      position = i
      local tag = batch[i]
      local req = reqs[tag]
      local op = req.op
      local ok, verdict = xpcall(handlers[op], traceback, req.sector, req.length,
        buffers[op][tag], views[tag])
      if ok and verdict == nil then
        req.verdict = PASS
      elseif ok and verdict == true then
        req.verdict = DONE
      else
        req.verdict = ok and verdicts[verdict] or mistaken(req, ok, verdict)
      end
    end
  end

  local function work(size)
    while true do
      if size then position, count = 0, size end
      serve_rest()
      size = yield(idle)
    end
  end

  local function replace(err)
    report.mistake(err and "the batch loop failed: " .. err
      or "a handler called coroutine.yield by itself; its request gets EIO")
    reqs[batch[position]].verdict = EIO
    position = position + 1
    return coroutine.create(work)
  end

  return coroutine.create(work), replace
end

return M
