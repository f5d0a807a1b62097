-- SPDX-License-Identifier: MIT
-- lua/ublk/options.lua: each type, defaults, what is missing or wrong, and the
-- help text. What the user did wrong is { usage = … }, what the script's
-- author did wrong is a plain error with a line.
local lu = require "luaunit"
local context = require "ublk.context"
local options = require "ublk.options"

local M = {}

function M.setUp()
  context.name, context.args, context.help, context.declared = "disk.lua", {}, false, false
end

local function given(words, declarations)
  context.args = words
  return options.declare(declarations)
end

-- The usage message that these words earn.
local function usage(words, declarations)
  local ok, err = pcall(given, words, declarations)
  lu.assertFalse(ok)
  lu.assertIsTable(err)
  lu.assertIsString(err.usage)
  lu.assertStrContains(err.usage, "disk.lua: ")
  lu.assertNotStrContains(err.usage, "\n")
  return err.usage
end

function M.test_values_have_their_types()
  local opt = given({ "a=1M", "b=5ms", "c=1%", "d=x=y", "e=-1.5", "f=yes", "g=two" }, {
    a = { type = "size" }, b = { type = "time" }, c = { type = "rate" }, d = { type = "string" },
    e = { type = "number" }, f = { type = "bool" },
    g = { type = "enum", values = { "one", "two" } },
  })
  lu.assertEquals(opt, { a = 2 ^ 20, b = 0.005, c = 0.01, d = "x=y", e = -1.5, f = true,
    g = "two" })
end

function M.test_without_a_type_it_is_a_string()
  lu.assertEquals(given({ "name=5" }, { name = {} }), { name = "5" })
  lu.assertEquals(given({ "name=" }, { name = {} }), { name = "" })
end

function M.test_bools_have_several_words()
  for _, word in ipairs { "true", "yes", "on", "1" } do
    lu.assertIsTrue(given({ "b=" .. word }, { b = { type = "bool" } }).b)
  end
  for _, word in ipairs { "false", "no", "off", "0" } do
    lu.assertIsFalse(given({ "b=" .. word }, { b = { type = "bool" } }).b)
  end
end

function M.test_defaults_are_read_as_words_are()
  local declarations = {
    size = { type = "size", default = "1G" },
    rate = { type = "rate", default = 0.5 },
    flag = { type = "bool", default = false },
    open = { type = "size" },
  }
  lu.assertEquals(given({}, declarations), { size = 2 ^ 30, rate = 0.5, flag = false })
  lu.assertEquals(given({ "size=1K", "flag=on" }, declarations),
    { size = 1024, rate = 0.5, flag = true })
end

function M.test_a_needed_option_is_asked_for()
  local declarations = { path = { required = true } }
  lu.assertEquals(usage({}, declarations), "disk.lua: option path is needed")
  lu.assertEquals(given({ "path=x" }, declarations).path, "x")
end

function M.test_an_unknown_option_lists_the_known_ones()
  lu.assertEquals(usage({ "sise=1" }, { size = {}, rate = {} }),
    'disk.lua: unknown option "sise"; it has rate, size')
  lu.assertEquals(usage({ "size=1" }, {}), 'disk.lua: unknown option "size"; it has none')
end

function M.test_an_option_is_given_once()
  lu.assertEquals(usage({ "a=1", "a=1" }, { a = {} }), "disk.lua: a is given twice")
end

function M.test_words_are_key_and_value()
  for _, word in ipairs { "a", "=1", "", "-a=1", "a b=1" } do
    lu.assertStrContains(usage({ word }, { a = {} }), "options of the script are written key=value")
  end
end

function M.test_wrong_values_say_what_is_accepted()
  local cases = {
    size = "a size such as", time = "a time such as", rate = "a share from 0 to 1",
    number = "a number", bool = "yes or no",
  }
  for kind, accepted in pairs(cases) do
    for _, text in ipairs { "what", "" } do
      local message = usage({ "a=" .. text }, { a = { type = kind } })
      lu.assertStrContains(message, ("a=%s: needs "):format(text))
      lu.assertStrContains(message, accepted)
    end
  end
  lu.assertEquals(usage({ "a=c" }, { a = { type = "enum", values = { "x", "y" } } }),
    "disk.lua: a=c: needs one of x, y")
  lu.assertStrContains(usage({ "a=nan" }, { a = { type = "number" } }), "a number")
end

function M.test_a_script_that_declares_nothing_takes_nothing()
  context.args = {}
  options.check_undeclared()
  context.args = { "a=1" }
  local ok, err = pcall(options.check_undeclared)
  lu.assertFalse(ok)
  lu.assertEquals(err.usage, 'disk.lua: unknown option "a"; it has none')
  given({ "a=1" }, { a = {} })
  options.check_undeclared()
end

-- The message of an error in the declaration itself, as a script would raise it.
local function declaration_error(text)
  local chunk = assert(loadstring("local declare = ...\n" .. "local o = declare " .. text
    .. "\nreturn o", "=disk.lua"))
  local ok, err = pcall(chunk, options.declare)
  lu.assertFalse(ok)
  lu.assertIsString(err)
  return err
end

function M.test_mistakes_of_the_declaration_are_the_authors()
  lu.assertStrContains(declaration_error "{ a = { typ = 'size' } }",
    'a: unknown attribute "typ"; there are default, help, required, type, values')
  lu.assertStrContains(declaration_error "{ a = { type = 'sise' } }",
    'a: unknown type "sise"; there are bool, enum, errno, number, rate, size, string, time')
  lu.assertStrContains(declaration_error "{ a = { type = 'enum' } }", "a: an enum needs values")
  lu.assertStrContains(declaration_error "{ a = 5 }", "each option is name = {")
  lu.assertStrContains(declaration_error "{ { type = 'size' } }", "each option is name = {")
end

function M.test_mistakes_of_the_declaration_have_their_line()
  lu.assertStrMatches(declaration_error "{ a = { typ = 'size' } }", "^disk%.lua:2: .*")
end

function M.test_help_ends_the_script_with_its_declarations()
  context.help = true
  local declarations = { a = { required = true } }
  local ok, err = pcall(given, {}, declarations)
  lu.assertFalse(ok)
  lu.assertIs(err.help, declarations)
end

function M.test_help_has_a_line_for_each_option()
  local text = options.help {
    size = { type = "size", default = "1G", help = "size of the device" },
    op = { type = "enum", values = { "read", "write" }, help = "which" },
    path = { required = true },
    plain = { default = "", help = "no default is shown for an empty one" },
    flag = { type = "bool", default = false, help = "a switch" },
  }
  lu.assertEquals(text, table.concat({
    "  flag=BOOL      a switch (default false)",
    "  op=read|write  which",
    "  path=STRING     (needed)",
    "  plain=STRING   no default is shown for an empty one",
    "  size=SIZE      size of the device (default 1G)",
  }, "\n"))
end

return lu.LuaUnit.new():runSuiteByInstances { { "options", M } }
