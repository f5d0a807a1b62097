-- SPDX-License-Identifier: MIT
-- Values as JSON text, for what C hands on: plain tables, texts, numbers.
local M = {}

-- Readers in C end a text at a zero, so it is shown as a script writes it.
local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\0"] = "\\\\0" }

local utf8 = { "[\194-\223][\128-\191]", "[\225-\236\238\239][\128-\191][\128-\191]",
  "[\241-\243][\128-\191][\128-\191][\128-\191]" }

-- Bytes that are no ASCII are shown as if they were Latin-1, unless the text is good UTF-8.
local function quote(text)
  local rest = text
  for _, sequence in ipairs(utf8) do rest = rest:gsub(sequence, "") end
  local class = rest:find "[\128-\255]" and '[%c"\\\127-\255]' or '[%c"\\]'
  return '"' .. text:gsub(class, function(c)
    return escapes[c] or ("\\u%04x"):format(c:byte())
  end) .. '"'
end

--- A value as JSON. Of tables: lists, and names with values, sorted.
function M.text(value)
  if type(value) == "string" then return quote(value) end
  if type(value) ~= "table" then return value == nil and "null" or tostring(value) end
  local parts = {}
  if value[1] ~= nil or next(value) == nil then
    for i, item in ipairs(value) do parts[i] = M.text(item) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for key, item in pairs(value) do parts[#parts + 1] = quote(key) .. ":" .. M.text(item) end
  table.sort(parts)
  return "{" .. table.concat(parts, ",") .. "}"
end

-- Of what a script's value shows: levels, items of a table, bytes of a text, bytes of all, of which
-- each value takes ITEM and its text.
local DEEP, MANY, LONG, ALL, ITEM = 6, 1000, 65536, 256 * 1024, 24
local left = 0 -- of ALL: one small table may be in another a million times

local plain -- below

local function shorten(value)
  local shown = value:sub(1, math.max(0, math.min(LONG, left)))
  left = left - #shown
  return shown
end

local function plain_table(value, depth, above)
  if above[value] then return "(itself)" end
  if depth == DEEP then return tostring(value) end
  above[value] = true
  local list, named, count = {}, {}, 0
  for key, item in next, value do
    count = count + 1
    if count > MANY or left <= 0 then
      named["…"] = "more than " .. count - 1
      break
    end
    local shown = plain(item, depth + 1, above)
    if key == #list + 1 then list[key] = shown else named[shorten(tostring(key))] = shown end
  end
  above[value] = nil
  if next(named) == nil then return list end
  for i, item in ipairs(list) do named[tostring(i)] = item end
  return named
end

-- JSON has neither infinite numbers nor functions: their text stands for them.
function plain(value, depth, above)
  local kind = type(value)
  left = left - ITEM
  if kind == "nil" or kind == "boolean" then return value end
  if kind == "number" then
    return value - value == 0 and (value % 1 == 0 and value or tonumber(("%.17g"):format(value)))
      or tostring(value)
  end
  if kind == "string" then return shorten(value) end
  if kind == "table" then return plain_table(value, depth, above) end
  local ok, text = pcall(tostring, value)
  return ok and shorten(text) or "a " .. kind
end

local function shown_text(value)
  local shown = plain(value, 0, {})
  if type(shown) == "number" then return ("%.17g"):format(shown) end
  return M.text(shown)
end

--- Any value of a script as JSON, without calling anything of its own but __tostring of cdata. Not
-- all of what is large.
function M.any(value)
  left = ALL
  return shown_text(value)
end

--- The same of a list of `n` values, nil among them.
function M.list(values, n)
  local parts = {}
  left = ALL
  for i = 1, n do
    parts[i] = shown_text(values[i])
    if left <= 0 and i < n then
      parts[i + 1] = '"…"'
      break
    end
  end
  return "[" .. table.concat(parts, ",") .. "]"
end

return M
