-- SPDX-License-Identifier: MIT
-- ublk.options: what a script takes on its command line, declared once in a
-- table. The same table checks the key=value words and makes the --help text.
-- Errors are tables { usage = message }, so that the program can exit with 2.
local context = require "ublk.context"
local errno = require "ublk.errno"
local units = require "ublk.units"

local M = {}

local function fail(format, ...)
  error({ usage = context.name .. ": " .. format:format(...) }, 0)
end

-- Each takes the text and the declaration: value, or nil and what is accepted.
local parsers = {
  size = units.size,
  time = units.time,
  rate = units.rate,
  string = function(value) return tostring(value) end,
  number = function(value)
    local number = tonumber(value)
    return number == number and number or nil, "a number"
  end,
  bool = function(value)
    local known = { ["true"] = true, yes = true, on = true, ["1"] = true,
      ["false"] = false, no = false, off = false, ["0"] = false }
    return known[tostring(value)], "yes or no"
  end,
  errno = function(value)
    return errno.verdict[value] and value or nil, "an errno name such as EIO, ENODATA, ENOSPC"
  end,
  enum = function(value, declaration)
    for _, choice in ipairs(declaration.values) do
      if choice == value then return value end
    end
    return nil, "one of " .. table.concat(declaration.values, ", ")
  end,
}

local attributes = { default = true, type = true, help = true, values = true, required = true }

local function sorted_keys(t)
  local keys = {}
  for key in pairs(t) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- A mistake in the declaration is the script author's: a plain error with its line.
local function check_declaration(name, declaration)
  local level = 3 -- the script, which called M.declare
  if type(name) ~= "string" or type(declaration) ~= "table" then
    error("ublk.options: each option is name = { type = …, default = …, help = … }", level)
  end
  for key in pairs(declaration) do
    if not attributes[key] then
      error(("ublk.options: %s: unknown attribute %q; there are %s"):format(name, tostring(key),
        table.concat(sorted_keys(attributes), ", ")), level)
    end
  end
  if not parsers[declaration.type or "string"] then
    error(("ublk.options: %s: unknown type %q; there are %s"):format(name,
      tostring(declaration.type), table.concat(sorted_keys(parsers), ", ")), level)
  end
  if declaration.type == "enum" and type(declaration.values) ~= "table" then
    error(("ublk.options: %s: an enum needs values = { … }"):format(name), level)
  end
  if declaration.default ~= nil then
    local value, accepted = parsers[declaration.type or "string"](declaration.default, declaration)
    if value == nil then
      error(("ublk.options: %s: default = %s: needs %s"):format(name,
        tostring(declaration.default), accepted), level)
    end
  end
end

local function parse(name, declaration, text)
  local value, accepted = parsers[declaration.type or "string"](text, declaration)
  if value == nil then fail("%s=%s: needs %s", name, text, accepted) end
  return value
end

local function split_words(declarations)
  local given = {}
  for _, word in ipairs(context.args) do
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
-- declarations: { name = { type, default, help, values, required } }; type is one of size
-- (bytes), time (seconds), rate (0 to 1), number, bool, errno (its name), enum (with values =
-- { … }), string.
-- Returns a table of typed values; an option without default that was not given is nil.
function M.declare(declarations)
  for name, declaration in pairs(declarations) do check_declaration(name, declaration) end
  if context.help then error({ help = declarations }, 0) end

  local given, values = split_words(declarations), {}
  context.declared = true
  for name, declaration in pairs(declarations) do
    local text = given[name]
    if text == nil then text = declaration.default end
    if text == nil and declaration.required then fail("option %s is needed", name) end
    if text ~= nil then values[name] = parse(name, declaration, text) end
  end
  return values
end

--- For scripts that declare nothing: no word is welcome.
function M.check_undeclared()
  if not context.declared then split_words {} end
end

--- The options as lines of help text.
function M.help(declarations)
  local left, width = {}, 0
  for _, name in ipairs(sorted_keys(declarations)) do
    local declaration = declarations[name]
    local kind = declaration.type or "string"
    left[name] = name .. "=" .. (kind == "enum" and table.concat(declaration.values, "|")
      or kind:upper())
    width = math.max(width, #left[name])
  end
  local lines = {}
  for _, name in ipairs(sorted_keys(declarations)) do
    local declaration = declarations[name]
    local default = declaration.default
    local note = declaration.required and " (needed)"
      or (default ~= nil and default ~= "") and (" (default %s)"):format(tostring(default)) or ""
    lines[#lines + 1] = ("  %-" .. width .. "s  %s%s"):format(left[name], declaration.help or "",
      note)
  end
  return table.concat(lines, "\n")
end

return M
