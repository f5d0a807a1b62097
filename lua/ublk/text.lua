-- SPDX-License-Identifier: MIT
-- What messages are made of: any text as one line, any value as a script would
-- write it, and short. Names and errors come from users and may be anything.
local M = {}

local LINE = 1000 -- bytes of a message: more nobody reads, and each mistake is compared with others
local SHOWN = 60 -- bytes of a text that is a value
local ITEMS = 4 -- of a table

local function inside_character(text, at)
  local byte = text:byte(at)
  return byte and byte >= 0x80 and byte < 0xC0
end

--- The first `most` bytes of `text`, or up to three less: no character of UTF-8 is cut in two.
function M.cut(text, most)
  if #text <= most then return text end
  for less = 0, 3 do
    if not inside_character(text, most - less + 1) then return text:sub(1, most - less) end
  end
  return text:sub(1, most) -- this is no UTF-8
end

local function cut_and_told(text, most)
  return #text > most and M.cut(text, most) .. "…" or text
end

--- `text` as one line. What `require` says of where it has looked is left out.
function M.line(text)
  return (cut_and_told(text, LINE):gsub("(module '[^']*' not found):\n.*", "%1")
    :gsub("%s+$", ""):gsub("%s+", function(space) return space:find "%c" and " " end)
    :gsub("%c", "?"))
end

--- "FILE:LINE" where the function `fn` begins; nil: in C.
function M.place(fn)
  local info = debug.getinfo(fn, "S")
  return info.what ~= "C" and info.short_src .. ":" .. info.linedefined or nil
end

--- `message` of an error, after `place` if it has none of its own: a script's tail call has left
-- the stack, and what stands below it is no function, or the chain that compose.lua has made.
function M.placed(message, place)
  local rest = message:match "^ublk%.layers:%d+: (.*)"
  if not place or not rest and message:find "^[^\n]-:%d+: " then return message end
  return place .. ": " .. (rest or message)
end

local escapes = { ['"'] = '\\"', ["\\"] = "\\\\", ["\n"] = "\\n", ["\t"] = "\\t" }

local function quoted(text)
  return '"' .. cut_and_told(text, SHOWN):gsub('[%c"\\]', function(c)
    return escapes[c] or ("\\%d"):format(c:byte())
  end) .. '"'
end

local function item(key, value)
  local shown = type(value) == "table" and "{…}" or M.show(value)
  if type(key) == "number" then return shown end
  return ("%s = %s"):format(type(key) == "string" and key or "[" .. type(key) .. "]", shown)
end

local function items(t)
  local parts = {}
  for key, value in pairs(t) do
    if #parts == ITEMS then
      parts[ITEMS + 1] = "…"
      break
    end
    parts[#parts + 1] = item(key, value)
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

--- `value` for a message: what a script would write for it, or of which type it is.
function M.show(value)
  local kind = type(value)
  if kind == "string" then return quoted(value) end
  if kind == "table" then return items(value) end
  if kind == "number" or kind == "boolean" or kind == "nil" then return tostring(value) end
  return "a " .. kind
end

--- The error of a field of the device's table; it has no place, the table has none.
function M.refuse(name, value, accepted)
  error(("%s = %s: needs %s"):format(name, M.show(value), accepted), 0)
end

--- The error of a method, at the script's line, that was called as `req.forward()`.
function M.needs_colon(call)
  error("call it with a colon: " .. call, 3)
end

return M
