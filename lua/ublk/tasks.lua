-- SPDX-License-Identifier: MIT
-- Functions of the script that run beside its handlers, once or again and
-- again: ublk.spawn, ublk.at, ublk.after, ublk.every. Each has a slot of the
-- queue, so it can wait as a handler can. Asked for while the script loads,
-- they begin with the device.
local C = require "ublk.ffi"
local context = require "ublk.context"
local report = require "ublk.report"
local text = require "ublk.text"
local wait = require "ublk.wait"

local M = {}

local now, seconds = wait.now, wait.seconds_of

local queue -- struct ul_queue *; nil while the script loads
local early = {} -- tasks that wait for the device
local by_slot, free = {}, {}

local Task = {}
Task.__index = Task

local function end_task(task)
  by_slot[task.slot] = nil
  free[#free + 1] = task.slot
  task.slot = nil
end

--- It does not run any more, or not again if it runs now. Returns whether there was something left
-- to cancel.
function Task:cancel()
  if getmetatable(self) ~= Task then text.needs_colon "task:cancel()" end
  local ends_now = self.running and not self.period
  local was_due = not self.cancelled and not ends_now and (self.slot ~= nil or queue == nil)
  self.cancelled = true
  for i = #early, 1, -1 do
    if early[i] == self then table.remove(early, i) end
  end
  if queue and self.slot and not self.running and C.ul_park_cancel(queue, self.slot) == 1 then
    end_task(self)
  end
  return was_due
end

local function begin(task)
  task.slot = table.remove(free)
  by_slot[task.slot] = task
  if task.time then
    C.ul_park_until(queue, task.slot, task.time)
  else
    C.ul_park_wake(queue, task.slot)
  end
end

-- Errors are at level 2: those who call this return what it does, and so are on the stack no more.
local function new(what, fn, time, period, ...)
  if type(fn) ~= "function" then error(what .. " needs a function", 2) end
  if queue and #free == 0 or #early == C.UL_TASKS then
    error(("%s: more than %d tasks at one time"):format(what, C.UL_TASKS), 2)
  end
  local args = { n = select("#", ...), ... }
  local task = setmetatable({ fn = fn, args = args, time = time, period = period,
    layer = context.layer[0] }, Task)
  if queue then begin(task) else early[#early + 1] = task end
  return task
end

--- Run fn(...) beside the I/O, from this round on.
function M.spawn(fn, ...)
  return new("ublk.spawn", fn, nil, nil, ...)
end

--- Run fn(...) when ublk.now() has come to `time`: seconds, or a text such as "5s".
function M.at(time, fn, ...)
  return new("ublk.at", fn, seconds("ublk.at", time), nil, ...)
end

--- Run fn(...) when `delay` has passed, seconds or text: from now, or from the device's start.
function M.after(delay, fn, ...)
  return new("ublk.after", fn, now() + seconds("ublk.after", delay), nil, ...)
end

--- Run fn(...) every `period`, first after one. When fn takes longer, what it missed is left out.
function M.every(period, fn, ...)
  period = seconds("ublk.every", period)
  if period == 0 then error("ublk.every needs a time above 0", 2) end
  return new("ublk.every", fn, now() + period, period, ...)
end

local function run_once(task)
  context.layer[0] = task.layer
  task.running = true
  local ok, trace = xpcall(task.fn, report.traceback, unpack(task.args, 1, task.args.n))
  task.running = false
  if ok then return end
  local place = text.place(task.fn)
  -- Of no memory there is no trace.
  trace = text.placed(tostring(trace), place and "in the task at " .. place)
  report.mistake("task: " .. trace:match "^[^\n]*", "a task failed: " .. trace)
  if M.on_error == "stop" then queue.stop = 1 end
end

-- The next beat that is not past.
local function next_time(task)
  local late = C.ul_now(queue) - task.time
  return task.time + task.period * math.max(1, math.ceil(late / task.period))
end

--- Run the task in `slot`; called by the loop, in a fiber.
function M.run(slot)
  local task = by_slot[slot]
  if not task.cancelled then run_once(task) end
  if task.period and not task.cancelled then
    task.time = next_time(task)
    C.ul_park_until(queue, slot, task.time)
  else
    end_task(task)
  end
end

--- The task in `slot` does not come to its end: its fiber is lost.
function M.drop(slot)
  C.ul_park_cancel(queue, slot) -- a periodic one may have set its next beat already
  end_task(by_slot[slot])
end

--- The queue is about to be gone: what is asked for now never runs.
function M.detach()
  queue = nil
end

--- Called once, by the engine, with the queue and the device's on_error.
function M.attach(to_queue, on_error)
  queue, M.on_error = to_queue, on_error
  for slot = queue.depth + queue.tasks - 1, queue.depth, -1 do free[#free + 1] = slot end
  for _, task in ipairs(early) do begin(task) end
  early = {}
end

return M
