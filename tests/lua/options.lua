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

function M.test_an_integer_is_whole()
  lu.assertEquals(given({ "n=-8" }, { n = { type = "integer" } }), { n = -8 })
  for _, word in ipairs { "2.5", "x", "nan", "inf" } do
    lu.assertStrContains(usage({ "n=" .. word }, { n = { type = "integer" } }), "a whole number")
  end
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

function M.test_lists_are_tables_of_typed_items()
  local declarations = {
    words = { type = "list" }, sizes = { type = "list", of = "size" },
    errnos = { type = "list", of = "errno", default = "EIO, ENODATA" },
    ops = { type = "list", of = "enum", values = { "read", "write" }, default = { "write" } },
    spots = { type = "list", of = "range", default = { "0..4K", { "1M", "2M" } } },
    none = { type = "list", default = {} },
  }
  lu.assertEquals(given({ "words=a, b=c ,d", "sizes=1K,4096" }, declarations), {
    words = { "a", "b=c", "d" }, sizes = { 1024, 4096 }, errnos = { "EIO", "ENODATA" },
    ops = { "write" }, spots = { { 0, 4096 }, { 2 ^ 20, 2 ^ 21 } }, none = {},
  })
  lu.assertEquals(given({ "words=", "sizes= ", "ops=read,write", "spots=1K+1K" }, declarations), {
    words = {}, sizes = {}, errnos = { "EIO", "ENODATA" }, ops = { "read", "write" },
    spots = { { 1024, 2048 } }, none = {},
  })
end

function M.test_a_list_that_is_a_default_is_not_changed()
  local default = { "1K" }
  local opt = given({}, { a = { type = "list", of = "size", default = default } })
  opt.a[2] = 5
  lu.assertEquals(default, { "1K" })
end

function M.test_each_item_of_a_list_is_checked()
  lu.assertEquals(usage({ "a=1K,x,2K" }, { a = { type = "list", of = "size" } }),
    'disk.lua: a=1K,x,2K: needs a size such as 4096, 64K, 1.5G in each item, not "x"')
  for _, text in ipairs { "a,,b", ",", "a,", ",a" } do
    lu.assertStrContains(usage({ "a=" .. text }, { a = { type = "list" } }), 'in each item, not ""')
  end
  lu.assertStrContains(usage({ "a=1,7" }, { a = { type = "list", of = "number", max = 5 } }),
    'needs a number at most 5 in each item, not "7"')
end

function M.test_ranges_are_of_sizes_or_times()
  local declarations = {
    at = { type = "range", default = "all" },
    delay = { type = "range", of = "time", default = { 0, "1s" } },
  }
  lu.assertEquals(given({}, declarations), { at = { 0, math.huge }, delay = { 0, 1 } })
  lu.assertEquals(given({ "at=64K+4K", "delay=5ms" }, declarations),
    { at = { 65536, 69632 }, delay = { 0.005, 0.005 } })
  lu.assertStrContains(usage({ "at=1M" }, declarations), "at=1M: needs a range such as 0..1M")
  lu.assertStrContains(usage({ "delay=x" }, declarations), "delay=x: needs a time such as 5ms, or")
end

function M.test_limits_are_kept()
  local declarations = {
    n = { type = "number", min = 1, max = 9 }, size = { type = "size", min = "4K" },
    time = { type = "time", max = "1s" }, rate = { type = "rate", max = 0.5 },
  }
  lu.assertEquals(given({ "n=9", "size=4K", "time=1s", "rate=50%" }, declarations),
    { n = 9, size = 4096, time = 1, rate = 0.5 })
  lu.assertEquals(given({ "n=1" }, declarations), { n = 1 })
  lu.assertEquals(usage({ "n=0" }, declarations), "disk.lua: n=0: needs a number from 1 to 9")
  lu.assertEquals(usage({ "n=9.5" }, declarations), "disk.lua: n=9.5: needs a number from 1 to 9")
  lu.assertEquals(usage({ "size=1K" }, declarations), "disk.lua: size=1K: needs a size at least 4K")
  lu.assertEquals(usage({ "time=2s" }, declarations), "disk.lua: time=2s: needs a time at most 1s")
  lu.assertEquals(usage({ "rate=1" }, declarations), "disk.lua: rate=1: needs a rate at most 0.5")
end

function M.test_an_enum_may_be_of_numbers()
  lu.assertEquals(given({ "n=2" }, { n = { type = "enum", values = { 1, 2 } } }), { n = 2 })
end

function M.test_a_message_is_one_line_whatever_was_typed()
  lu.assertStrContains(usage({ "a=1\n2" }, { a = { type = "size" } }), "a=1 2: needs")
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
    number = "a number", bool = "yes or no", errno = "an errno name", range = "a range such as",
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
    'a: unknown attribute "typ"; there are default, help, live, max, min, of, required, type, '
    .. "values")
  lu.assertStrContains(declaration_error "{ a = { type = 'sise' } }",
    'a: unknown type "sise"; there are bool, enum, errno, integer, list, number, range, rate, '
      .. 'size, string, time')
  for _, values in ipairs { "", "values = 5", "values = {}", "values = { {} }" } do
    lu.assertStrContains(declaration_error("{ a = { type = 'enum', " .. values .. " } }"),
      "a: an enum needs values")
    lu.assertStrContains(declaration_error("{ a = { type = 'list', of = 'enum', " .. values
      .. " } }"), "a: an enum needs values")
  end
  for _, text in ipairs { "type = 'list', of = 'list'", "type = 'list', of = 'sise'", "of = 'size'",
    "type = 'range', of = 'rate'", "type = 'size', of = 'size'" } do
    lu.assertStrContains(declaration_error("{ a = { " .. text .. " } }"),
      "a list is of another type, a range of")
  end
  for _, text in ipairs { "type = 'size', min = 'x'", "type = 'bool', max = 1", "max = 'a'",
    "type = 'list', min = 1", "type = 'range', max = '1M'" } do
    lu.assertStrContains(declaration_error("{ a = { " .. text .. " } }"),
      "needs a value of its type, which is one of integer, number, rate, size, time")
  end
  lu.assertStrContains(declaration_error "{ ['a-b'] = {} }", '"a-b": an option\'s name is letters')
  lu.assertStrContains(declaration_error "'size'", "ublk.options needs a table")
  lu.assertStrContains(declaration_error "{ a = 5 }", "each option is name = {")
  lu.assertStrContains(declaration_error "{ { type = 'size' } }", "each option is name = {")
end

function M.test_defaults_are_held_to_their_type()
  local cases = {
    ["type = 'size', default = 'big'"] = "a: default = big: needs a size such as",
    ["default = {}"] = "needs text",
    ["type = 'errno', default = -5"] = "a: default = -5: needs an errno name",
    ["type = 'enum', values = { 'x' }, default = 'y'"] = "needs one of x",
    ["type = 'number', default = 5, max = 4"] = "a: default = 5: needs a number at most 4",
    ["type = 'list', of = 'size', default = '1K,x'"] = 'in each item, not "x"',
    ["type = 'list', of = 'size', default = { '1K', true }"] = 'a: default = 1K,true: needs a size',
    ["type = 'range', default = { 5, 5 }"] = "needs a range that is not empty",
  }
  for text, said in pairs(cases) do
    lu.assertStrContains(declaration_error("{ a = { " .. text .. " } }"), said)
  end
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
    "  path=STRING    (needed)",
    "  plain=STRING   no default is shown for an empty one",
    "  size=SIZE      size of the device (default 1G)",
  }, "\n"))
end

function M.test_help_tells_limits_lists_and_ranges()
  local text = options.help {
    n = { type = "number", min = 1, max = 9, default = 5, help = "how many" },
    count = { type = "number", min = 1, required = true },
    sizes = { type = "list", of = "size", default = { "4K", 8192 }, help = "which" },
    ops = { type = "list", of = "enum", values = { "read", "write" }, max = nil },
    at = { type = "range", default = { "1M", math.huge }, help = "where" },
    delay = { type = "range", of = "time", default = "5ms", help = "how long" },
    free = {},
  }
  lu.assertEquals(text, table.concat({
    "  at=SIZE..SIZE       where (default 1M..)",
    "  count=NUMBER        (needed, at least 1)",
    "  delay=TIME..TIME    how long (default 5ms)",
    "  free=STRING",
    "  n=NUMBER            how many (default 5, from 1 to 9)",
    "  ops=read|write,...",
    "  sizes=SIZE,...      which (default 4K,8192)",
  }, "\n"))
end

function M.test_help_of_a_long_enum_is_on_a_line_of_its_own()
  local text = options.help {
    op = { type = "enum", values = { "read", "write", "flush", "discard", "write_zeroes" },
      default = "read", help = "which" },
    size = { type = "size", help = "how big" },
  }
  lu.assertEquals(text, table.concat({
    "  op=read|write|flush|discard|write_zeroes",
    "             which (default read)",
    "  size=SIZE  how big",
  }, "\n"))
end

return lu.LuaUnit.new():runSuiteByInstances { { "options", M } }
