-- SPDX-License-Identifier: MIT
-- A device's stack of layers at work on one queue: the functions that the batch
-- loop calls, what comes of a request after its handler has waited, and the
-- way of a request from one layer to those below it.
local ffi = require "ffi"
local C = require "ublk.ffi"
local compose = require "ublk.compose"
local context = require "ublk.context"
local errno = require "ublk.errno"
local layers = require "ublk.layers"
local mistakes = require "ublk.mistakes"

local M = {}

local PASS, DONE = C.UL_PASS, C.UL_DONE
local FORWARDED = C.UL_MARK_FORWARDED

--- `stack` from layers.stack, for `queue` (struct ul_queue *), counted in `stats`
-- (struct ul_layer_stats *, by index); on_error as in mistakes.policies.
-- Returns an object with `chains` by op number, `mistakes`, and the functions below.
function M.new(stack, queue, stats, on_error)
  local self = { chains = {} }
  local hooks, below, own, bottom = { stats = stats }, {}, nil, #stack - 1
  local reqs, forwarded = queue.reqs, queue.forwarded

  function hooks.forwarded(view) return bit.band(view._marks, FORWARDED) ~= 0 end

  -- The handler of the layer said nothing, but it has held the request up, or forwarded it: then
  -- it is done, or has failed, by what forward said.
  function hooks.after(view, index)
    local layer_stats, tag = stats[index], view.tag
    layer_stats.hit = layer_stats.hit + 1
    if hooks.forwarded(view) then
      local result = forwarded[tag]
      return result == DONE or result
    end
    reqs[tag].marks = 0
  end

  -- The chain of `op` from the layer with index `first` on, or nil where there is none.
  local function chain(op, first)
    below[op] = below[op] or {}
    if below[op][first] == nil then
      local handled = false
      for _, layer in ipairs(stack) do
        handled = handled or layer.index >= first and layers.handles(layer, op)
      end
      below[op][first] = handled and compose.chain(stack, op, first, hooks)
    end
    return below[op][first] or nil
  end

  --- Have the layers below the one that runs decide on the request of `tag`: UL_DONE, UL_PASS when
  -- none did, or a negative errno. They may wait.
  function self.ask_below(tag)
    local layer = context.layer[0]
    if layer == bottom then return PASS end
    local req = queue.reqs + tag
    local decide = chain(req.op, layer + 1)
    if not decide then return PASS end
    req.marks = 0
    local ok, verdict = xpcall(decide, own.catch, req.sector, req.length, self.buffer(req),
      ffi.cast("const struct ul_view *", req))
    local number = ok and (verdict == nil and PASS or verdict == true and DONE
      or errno.verdict[verdict]) or own.mistaken(req, ok, verdict)
    context.layer[0] = layer
    return number
  end

  --- The request's data as handlers see it, or nil.
  function self.buffer(req)
    return req.buf ~= nil and queue.buffers + req.tag * queue.stride or nil
  end

  -- on_error = "pass": as if the layer had said nothing.
  local function pass(req, index)
    if bit.band(req.marks, FORWARDED) ~= 0 then return forwarded[req.tag] end
    context.layer[0] = index
    return self.ask_below(req.tag)
  end

  own = mistakes.new(queue, stack, on_error, pass)
  self.mistakes = own
  for op in pairs(layers.op_name) do self.chains[op] = chain(op, 0) end
  return self
end

return M
