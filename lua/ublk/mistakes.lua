-- SPDX-License-Identifier: MIT
-- What happens to a request whose handler threw or returned what is no verdict:
-- `on_error` of the device decides. Told once in the log, with the layer's name.
local context = require "ublk.context"
local errno = require "ublk.errno"
local layers = require "ublk.layers"
local report = require "ublk.report"
local text = require "ublk.text"

local M = {}

local EIO = errno.verdict.EIO

--- The values of `on_error`, and what each says of the request.
M.policies = {
  EIO = "the request gets EIO",
  pass = "the request goes on to the layer below",
  stop = "the request gets EIO and the device is stopped",
}

-- Runs where the error was thrown, with the stack below it. No memory may be left, even for this.
local function catch(err)
  return { trace = report.traceback(err, 1), layer = context.layer[0] }
end

-- Where the functions of `layer` are that see the op called `name`.
local function place_of(layer, name)
  local places = {}
  for _, fn in pairs { layer.handler, layer[name] } do places[#places + 1] = text.place(fn) end
  return #places > 0 and "in the handler at " .. table.concat(places, " or ") or nil
end

--- For the stack of `queue` (struct ul_queue *) under `policy`; pass(req, index) has the layers
-- below `index` decide on a request. Returns `catch`, for xpcall, `mistaken`, and
-- `counts`, how many there were, by the index of the layer.
function M.new(queue, stack, policy, pass)
  local outcome, counts = M.policies[policy], {}

  local function where(layer, op)
    local name = layers.op_name[op]
    return #stack > 1 and ("%s, %s"):format(stack[layer + 1].name, name) or name
  end

  local function tell_failure(layer, op, failure)
    local trace = text.placed(type(failure) == "table" and failure.trace or tostring(failure),
      place_of(stack[layer + 1], layers.op_name[op]))
    report.mistake(("%s: %s"):format(where(layer, op), trace:match "^[^\n]*"),
      ("%s: the handler failed, %s: %s"):format(where(layer, op), outcome, trace))
  end

  local function tell_verdict(layer, op, verdict)
    if errno.refused[verdict] then
      report.mistake(("%s: the handler's verdict is refused, %s: %s"):format(where(layer, op),
        outcome, errno.refused[verdict]))
    else
      report.mistake(("%s: the handler returned %s, which is no verdict (nil, true, an errno name "
        .. "or a negative errno are), %s"):format(where(layer, op), text.show(verdict), outcome))
    end
  end

  --- xpcall(chain) gave `ok` and `verdict` for `req` (struct ul_req *), and that is none: the
  -- number of the verdict to use instead.
  local function mistaken(req, ok, verdict)
    local layer = not ok and type(verdict) == "table" and verdict.layer or context.layer[0]
    counts[layer] = (counts[layer] or 0) + 1
    if ok then
      tell_verdict(layer, req.op, verdict)
    else
      tell_failure(layer, req.op, verdict)
    end
    if policy == "pass" then return pass(req, layer) end
    if policy == "stop" then queue.stop = 1 end
    return EIO
  end

  return { catch = catch, mistaken = mistaken, counts = counts }
end

return M
