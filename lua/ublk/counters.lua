-- SPDX-License-Identifier: MIT
-- What a script counts, for -v and --stats: ublk.counter, ublk.histogram, and
-- the layers' own counts. All stand in context.stats, memory that outlives the
-- server; the objects are references into it, found again by their names.
local ffi = require "ffi"
local C = require "ublk.ffi"
local context = require "ublk.context"
local text = require "ublk.text"

local M = {}

local Counter = {}

--- counter:add([n]): count one, or `n`. The count is counter.value, which may be set too.
function Counter.add(counter, n)
  if type(counter) ~= "cdata" then text.needs_colon "counter:add()" end
  if n ~= nil and type(n) ~= "number" then error("counter:add needs a number", 2) end
  counter.value = counter.value + (n or 1)
end

ffi.metatype("struct ul_counter", { __index = Counter })

local Histogram = {}

--- histogram:record(value): one more value; a time in seconds, a size in bytes.
function Histogram.record(histogram, value)
  if type(histogram) ~= "cdata" then text.needs_colon "histogram:record(value)" end
  if type(value) ~= "number" then
    error(("histogram:record needs a number, not %s"):format(tostring(value)), 2)
  end
  if histogram.unit == C.UL_UNIT_NS then value = value * 1e9 end
  C.ul_histogram_add(histogram, value, 1)
end

ffi.metatype("struct ul_histogram", { __index = Histogram })

local units = { count = C.UL_UNIT_COUNT, time = C.UL_UNIT_NS, size = C.UL_UNIT_BYTES }

-- What was given out, by name: one object for each, and found fast in a handler.
local of, counter_named, histogram_named, layer_named

-- The struct to count in. Where nobody gave one, as for --help, it is counted all the same.
local function stats()
  if context.stats == nil then context.stats = ffi.new "struct ul_script_stats" end -- or NULL
  if of ~= context.stats then
    of, counter_named, histogram_named, layer_named = context.stats, {}, {}, {}
  end
  return of
end

--- What is wrong with `name` as a name of something that is counted; nil if nothing.
function M.misnamed(name)
  if type(name) ~= "string" or name == "" then return "needs a name" end
  if name:find "%c" then return text.show(name) .. ": a name has no control characters" end
  if #name >= C.UL_NAME then
    return ("%s is too long, a name has at most %d bytes"):format(text.show(name), C.UL_NAME - 1)
  end
end

-- The entry of this name in `entries`, of which s[used] are in use; nil when there are `most`. The
-- second value says whether it is a new one.
local function entry(s, entries, used, most, name)
  for i = 0, s[used] - 1 do
    if ffi.string(entries[i].name) == name then return entries[i], false end
  end
  if s[used] >= most then return nil end
  local new = entries[s[used]]
  new.name = name
  s[used] = s[used] + 1
  return new, true
end

local function new_counter(s, name)
  local wrong = M.misnamed(name)
  if wrong then error("ublk.counter: " .. wrong, 3) end
  local counter = entry(s, s.counter, "counters", C.UL_COUNTERS, name)
  if not counter then
    error(("ublk.counter: %q is one too many, there is room for %d"):format(name,
      C.UL_COUNTERS), 3)
  end
  counter_named[name] = counter
  return counter
end

--- ublk.counter(name): the counter of this name, the same for the same name.
function M.counter(name)
  local s = stats()
  local counter = counter_named[name] or new_counter(s, name)
  return counter
end

local function new_histogram(s, name, unit)
  local wrong = M.misnamed(name)
  if wrong then error("ublk.histogram: " .. wrong, 3) end
  local histogram, new = entry(s, s.histogram, "histograms", C.UL_HISTOGRAMS, name)
  if not histogram then
    error(("ublk.histogram: %q is one too many, there is room for %d"):format(name,
      C.UL_HISTOGRAMS), 3)
  end
  if new then histogram.unit = units[unit or "count"] end
  histogram_named[name] = histogram
  return histogram
end

--- ublk.histogram(name [, unit]): the histogram of this name, of "count" (any number, if not
-- said), "time" or "size". What has a unit may be asked for again without it.
function M.histogram(name, unit)
  if unit ~= nil and not units[unit] then
    error(("ublk.histogram: unit %s: needs \"count\", \"time\" or \"size\""):format(
      tostring(unit)), 2)
  end
  local s = stats()
  local histogram = histogram_named[name] or new_histogram(s, name, unit)
  if unit and histogram.unit ~= units[unit] then
    error(("ublk.histogram: %q is there already, with another unit than %q"):format(name, unit), 2)
  end
  return histogram
end

--- The counts of a new layer, struct ul_layer_stats &; another of the same name is "NAME 2", and
-- so on. Errors have no place: they concern the device table.
function M.layer(name)
  local wrong = M.misnamed(name)
  if wrong then error("layer: " .. wrong, 0) end
  local s, unique, n = stats(), name, 1
  while layer_named[unique] do
    n = n + 1
    local suffix = " " .. n
    unique = text.cut(name, C.UL_NAME - 1 - #suffix) .. suffix
  end
  local layer = entry(s, s.layer, "layers", C.UL_LAYERS, unique)
  if not layer then
    error(("layer %q is one too many, there is room for %d"):format(unique, C.UL_LAYERS), 0)
  end
  layer_named[unique] = layer
  return layer
end

return M
