-- SPDX-License-Identifier: MIT
-- ublk.options: what a script takes on its command line, declared once in a
-- table. The same table checks the key=value words and makes the --help text.
-- Errors are tables { usage = message }, so that the program can exit with 2.
local context = require "ublk.context"
local errno = require "ublk.errno"
local one_line = require("ublk.text").line
local units = require "ublk.units"

local M = {}

local function fail(format, ...)
  error({ usage = context.name .. ": " .. one_line(format:format(...)) }, 0)
end

local read -- below: value and declaration to a typed value

-- Of a list: how each of its items is declared.
local function item_of(declaration)
  return { type = declaration.of or "string", values = declaration.values,
    min = declaration.min, max = declaration.max }
end

local function split_list(text)
  local items = {}
  if text:match "^%s*$" then return items end
  for item in (text .. ","):gmatch "%s*([^,]-)%s*," do items[#items + 1] = item end
  return items
end

-- Each takes the text, or what the script wrote as default, and the declaration: value, or nil
-- and what is accepted.
local parsers = {
  size = units.size,
  time = units.time,
  rate = units.rate,
  string = function(value)
    return type(value) ~= "table" and type(value) ~= "function" and tostring(value) or nil, "text"
  end,
  number = function(value)
    local number = tonumber(value)
    return number == number and number or nil, "a number"
  end,
  integer = function(value)
    local number = tonumber(value)
    return number and number % 1 == 0 and number or nil, "a whole number"
  end,
  bool = function(value)
    local known = { ["true"] = true, yes = true, on = true, ["1"] = true,
      ["false"] = false, no = false, off = false, ["0"] = false }
    return known[tostring(value)], "yes or no"
  end,
  errno = function(value)
    return type(value) == "string" and errno.verdict[value] and value or nil,
      "an errno name such as EIO, ENODATA, ENOSPC"
  end,
  enum = function(value, declaration)
    for _, choice in ipairs(declaration.values) do
      if tostring(choice) == tostring(value) then return choice end
    end
    return nil, "one of " .. table.concat(declaration.values, ", ")
  end,
  range = function(value, declaration) return units.range(value, declaration.of) end,
  list = function(value, declaration)
    local items, item = type(value) == "table" and value or split_list(tostring(value)),
      item_of(declaration)
    local list = {}
    for i, written in ipairs(items) do
      local result, accepted = read(written, item)
      if result == nil or written == "" then
        return nil, ("%s in each item, not %q"):format(accepted or "a word", tostring(written))
      end
      list[i] = result
    end
    return list
  end,
}

local current = { declarations = {}, values = {} } -- of the script that runs

local attributes = { default = true, type = true, help = true, values = true, required = true,
  of = true, min = true, max = true, live = true }

-- Types that have an order, for min and max.
local ordered = { size = true, time = true, rate = true, number = true,
  integer = true }

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  return keys
end

local function limits(declaration)
  local min, max = declaration.min, declaration.max
  return min and max and ("from %s to %s"):format(min, max) or min and "at least " .. min
    or max and "at most " .. max or nil
end

-- The value, or nil and what is accepted.
function read(value, declaration)
  local kind = declaration.type or "string"
  local result, accepted = parsers[kind](value, declaration)
  if result == nil then return nil, accepted end
  if ordered[kind] then
    local min = declaration.min and parsers[kind](declaration.min)
    local max = declaration.max and parsers[kind](declaration.max)
    if min and result < min or max and result > max then
      return nil, ("a %s %s"):format(kind, limits(declaration))
    end
  end
  return result
end

-- As a user would write it.
local function written(value)
  if type(value) ~= "table" then return tostring(value) end
  local words = {}
  for i, item in ipairs(value) do words[i] = written(item) end
  return table.concat(words, ",")
end

local function known_of(kind, of)
  if kind == "range" then return of == "size" or of == "time" end
  return kind == "list" and parsers[of] and of ~= "list"
end

local function known_values(values)
  if type(values) ~= "table" or #values == 0 then return false end
  for _, value in ipairs(values) do
    if type(value) ~= "string" and type(value) ~= "number" then return false end
  end
  return true
end

-- What is wrong with the attributes that say which values there are; nil: nothing.
local function mistake_of_type(declaration)
  local kind = declaration.type or "string"
  if not parsers[kind] then
    return ("unknown type %q; there are %s"):format(tostring(kind),
      table.concat(sorted_keys(parsers), ", "))
  end
  local of = declaration.of
  if of ~= nil and not known_of(kind, of) then
    return ("of = %s: a list is of another type, a range of \"size\" or \"time\"")
      :format(tostring(of))
  end
  local item = kind == "list" and (of or "string") or kind
  if item == "enum" and not known_values(declaration.values) then
    return "an enum needs values = { … }, words or numbers"
  end
  for _, name in ipairs { "min", "max" } do
    local limit = declaration[name]
    if limit ~= nil and not (ordered[item] and parsers[item](limit)) then
      return ("%s = %s: needs a value of its type, which is one of %s"):format(name,
        tostring(limit), table.concat(sorted_keys(ordered), ", "))
    end
  end
end

-- A mistake in the declaration is the script author's: what it is, or nil.
local function mistake_of(name, declaration)
  if type(name) ~= "string" or type(declaration) ~= "table" then
    return "each option is name = { type = …, default = …, help = … }"
  end
  if not name:match "^[%w_]+$" then
    return ("%q: an option's name is letters, digits and _"):format(name)
  end
  for key in pairs(declaration) do
    if not attributes[key] then
      return ("%s: unknown attribute %q; there are %s"):format(name, tostring(key),
        table.concat(sorted_keys(attributes), ", "))
    end
  end
  local mistake = mistake_of_type(declaration)
  if mistake then return name .. ": " .. mistake end
  if declaration.default ~= nil then
    local value, accepted = read(declaration.default, declaration)
    if value == nil then
      return ("%s: default = %s: needs %s"):format(name, written(declaration.default), accepted)
    end
  end
end

local function split_words(declarations, words)
  local given = {}
  for _, word in ipairs(words) do
    local name, text = word:match "^([%w_]+)=(.*)$"
    if not name then fail("%q: options of the script are written key=value", word) end
    if not declarations[name] then
      local known = table.concat(sorted_keys(declarations), ", ")
      fail("unknown option %q; %s", name, known ~= "" and "it has " .. known or "it has none")
    end
    if given[name] then fail("%s is given twice", name) end
    given[name] = text
  end
  return given
end

--- Declare the script's options and get their values.
-- declarations: { name = { type, default, help, required, … } }; type is one of
--   size (bytes), time (seconds), rate (0 to 1), number, bool, string, errno (its name),
--   enum: one of values = { … };
--   list: a table of words, or of what `of` says; written with commas between them;
--   range: { from, to } of bytes, or of seconds with of = "time"; see units.range.
-- min and max, as numbers or as text, limit a size, time, rate or number, and a list's items.
-- live = true: `ublk-lua set` may change it in the table returned here, while the device runs.
-- Returns a table of typed values; an option without default that was not given is nil.
function M.declare(declarations)
  if type(declarations) ~= "table" then error("ublk.options needs a table of options", 2) end
  for name, declaration in pairs(declarations) do
    local mistake = mistake_of(name, declaration)
    if mistake then error("ublk.options: " .. mistake, 2) end
  end
  if context.help then error({ help = declarations }, 0) end

  local given, values = split_words(declarations, context.args), {}
  context.declared, current = true, { declarations = declarations, values = values }
  for _, name in ipairs(sorted_keys(declarations)) do
    local declaration, text = declarations[name], given[name]
    if text == nil then text = declaration.default end
    if text ~= nil then
      local value, accepted = read(text, declaration)
      if value == nil then fail("%s=%s: needs %s", name, text, accepted) end
      values[name] = value
    elseif declaration.required then
      fail("option %s is needed", name)
    end
  end
  return values
end

--- For scripts that declare nothing: no word is welcome.
function M.check_undeclared()
  if not context.declared then split_words({}, context.args) end
end

local function change(words)
  local declarations, changed = current.declarations, {}
  for name, text in pairs(split_words(declarations, words)) do
    if not declarations[name].live then
      fail("%s: cannot be changed while the device runs; its script does not say live = true", name)
    end
    local value, accepted = read(text, declarations[name])
    if value == nil then fail("%s=%s: needs %s", name, text, accepted) end
    changed[name] = value
  end
  for name, value in pairs(changed) do current.values[name] = value end
end

--- Change options that the script declares `live`, in the table that it has got: all `words`, or
-- none and what is wrong with one.
function M.change(words)
  local ok, err = pcall(change, words)
  if not ok then return type(err) == "table" and err.usage or tostring(err) end
end

--- The options as they are now, by name.
function M.values() return current.values end

-- What the user is to write for it.
local function placeholder(declaration)
  local kind = declaration.type or "string"
  if kind == "enum" then return table.concat(declaration.values, "|") end
  if kind == "list" then return placeholder(item_of(declaration)) .. ",..." end
  if kind == "range" then
    local unit = (declaration.of or "size"):upper()
    return unit .. ".." .. unit
  end
  return kind:upper()
end

-- The default of a range may be a table, as that of a list.
local function default_text(declaration)
  local default = declaration.default
  if default == nil then return "" end
  if declaration.type ~= "range" or type(default) ~= "table" then return written(default) end
  return ("%s..%s"):format(default[1], default[2] == math.huge and "" or default[2])
end

-- Its help, and in brackets what else there is to know.
local function explanation(declaration)
  local notes, default = {}, default_text(declaration)
  if declaration.required then notes[1] = "needed" end
  if default ~= "" then notes[#notes + 1] = "default " .. default end
  notes[#notes + 1] = limits(declaration)
  if declaration.live then notes[#notes + 1] = "live" end
  local help = declaration.help or ""
  if #notes == 0 then return help end
  return ("%s%s(%s)"):format(help, help ~= "" and " " or "", table.concat(notes, ", "))
end

local widest = 32 -- columns; what is longer has its help on the next line

--- The options as lines of help text.
function M.help(declarations)
  local names, left, width = sorted_keys(declarations), {}, 0
  for _, name in ipairs(names) do
    left[name] = name .. "=" .. placeholder(declarations[name])
    if #left[name] <= widest then width = math.max(width, #left[name]) end
  end
  local lines = {}
  for _, name in ipairs(names) do
    local gap = (" "):rep(width - #left[name])
    if #left[name] > width then gap = "\n" .. (" "):rep(width + 2) end
    lines[#lines + 1] = (("  %s%s  %s"):format(left[name], gap, explanation(declarations[name]))
      :gsub("%s+$", ""))
  end
  return table.concat(lines, "\n")
end

return M
