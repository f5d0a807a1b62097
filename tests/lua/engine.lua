-- SPDX-License-Identifier: MIT
-- lua/ublk/engine.lua: what `SCRIPT --help` prints, and what load says about
-- files that are no scripts. Its state is per script, so each test loads anew.
local lu = require "luaunit"
local ffi = require "ffi"
local engine = require "ublk.engine"
local context = require "ublk.context"

local M = {}
local path
local seed = ffi.new("uint64_t[1]", 42)

function M.setUp()
  path = os.tmpname()
  context.help, context.declared = false, nil
end

function M.tearDown()
  os.remove(path)
end

local function write(text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  file:close()
end

-- luacheck: push ignore 122 (io.stdout is replaced for as long as help runs)
-- What help prints for a script of this text or for -e with this chunk, and what it answers.
local function help(text, chunk)
  write(text)
  local printed, stdout = {}, io.stdout
  io.stdout = { write = function(_, ...)
    for _, part in ipairs { ... } do printed[#printed + 1] = part end
  end }
  local ok, a, b = pcall(engine.help, chunk and "-e" or path, {}, seed, 0, nil, nil, chunk)
  io.stdout = stdout
  assert(ok, a)
  return table.concat(printed), a, b
end
-- luacheck: pop

-- The same of -e's text.
local function evaluate(text, args)
  local c = ffi.new "struct ul_device"
  local ok, message = engine.load("-e", args or {}, seed, 0, c, nil, text)
  return ok, message, c
end

local function load(text, args)
  write(text)
  local c = ffi.new "struct ul_device"
  local ok, message = engine.load(path, args or {}, seed, 0, c)
  return ok, message, c
end

function M.test_a_script_knows_its_queue_and_counts_where_c_looks()
  write [[
local ublk = require "ublk"
ublk.counter("on queue " .. ublk.queue):add(2)
return { size = "1M" }
]]
  local stats = ffi.new "struct ul_script_stats[1]"
  for _, place in ipairs { stats, ffi.cast("void *", nil) } do
    lu.assertEquals({ engine.load(path, {}, seed, 3, ffi.new "struct ul_device", place) }, { true })
  end
  engine.load(path, {}, seed, 0, ffi.new "struct ul_device", nil) -- as the other tests have it
  lu.assertEquals(stats[0].counters, 1)
  lu.assertEquals(ffi.string(stats[0].counter[0].name), "on queue 3")
  lu.assertEquals(stats[0].counter[0].value, 2)
end

function M.test_help_is_the_leading_comment_usage_and_options()
  local text, ok = help [[
#!/usr/bin/env ublk-lua
-- SPDX-License-Identifier: MIT
-- disk.lua: a disk
--
--   indented
-- more.

-- not this
local opt = require "ublk".options { size = { type = "size", default = "1G", help = "how big" } }
error "a script is not run beyond its options for help"
]]
  local name = path:match "[^/]+$"
  lu.assertIsTrue(ok)
  lu.assertEquals(text, table.concat({
    "disk.lua: a disk", "", "  indented", "more.", "",
    ("usage: ublk-lua [options] %s [key=value ...]"):format(name), "",
    "  size=SIZE  how big (default 1G)", "" }, "\n"))
end

function M.test_help_of_a_script_without_options()
  local text, ok = help "-- a disk\nreturn { size = '1M' }\n"
  lu.assertIsTrue(ok)
  lu.assertEquals(text, ("a disk\n\nusage: ublk-lua [options] %s\n"):format(path:match "[^/]+$"))
end

function M.test_help_of_a_broken_script_is_its_error()
  local text, errno, message = help "-- a disk\nlocal x\nlocal y = x.z\n"
  lu.assertEquals(text, "")
  lu.assertEquals(errno, "ENOEXEC")
  lu.assertStrContains(message, ":3: attempt to index local 'x'")
end

function M.test_load_describes_the_device()
  local ok, _, c = load "return { size = '1M', write = function() end }"
  lu.assertIsTrue(ok)
  lu.assertEquals(c.size, 2 ^ 20)
  lu.assertEquals(c.op_mask, 2)
end

function M.test_load_gives_the_script_its_words()
  local ok, _, c = load("local o = require 'ublk'.options { size = { type = 'size' } }\n"
    .. "return { size = o.size }", { "size=3M" })
  lu.assertIsTrue(ok)
  lu.assertEquals(c.size, 3 * 2 ^ 20)
end

function M.test_load_tells_usage_from_bad_scripts()
  local errno, message = load("return {}", { "a=1" })
  lu.assertEquals(errno, "EINVAL")
  lu.assertStrContains(message, 'unknown option "a"')
  errno, message = load "return { size = 1"
  lu.assertEquals(errno, "ENOEXEC")
  lu.assertStrContains(message, ":1: '}' expected")
  errno = load "return 5"
  lu.assertEquals(errno, "ENOEXEC")
end

function M.test_load_tells_files_that_are_not_there()
  local errno, message = engine.load("/nonexistent/x.lua", {}, seed, 0, nil)
  lu.assertEquals(errno, "ENOENT")
  lu.assertEquals(message, "/nonexistent/x.lua: No such file or directory")
  errno, message = engine.load("/", {}, seed, 0, nil)
  lu.assertEquals(errno, "ENOENT")
  lu.assertEquals(message, "/: Is a directory")
end

function M.test_a_chunk_is_an_expression_or_a_script()
  for _, text in ipairs { "{ size = '1M' }", "\n{ size = '1M' }\n", "return { size = '1M' }",
    "{ size = '1M' } -- a disk", "-- a disk\n{ size = '1M' };", "{ size = ublk.size '1M' }",
    "local n = ublk.size '1M'\nreturn { size = n } -- a disk", "(print)() return { size = '1M' }",
  } do
    local ok, message, c = evaluate(text)
    lu.assertIsTrue(ok, message)
    lu.assertEquals(c.size, 2 ^ 20, text)
  end
end

function M.test_a_chunk_takes_words()
  local text = "local o = ublk.options { size = { type = 'size' } } return { size = o.size }"
  local ok, _, c = evaluate(text, { "size=3M" })
  lu.assertIsTrue(ok)
  lu.assertEquals(c.size, 3 * 2 ^ 20)
  local errno, message = evaluate(text, { "sise=3M" })
  lu.assertEquals(errno, "EINVAL")
  lu.assertEquals(message, '-e: unknown option "sise"; it has size')
end

function M.test_mistakes_of_a_chunk_have_its_name_and_line()
  local cases = {
    ["{ size = = }"] = "-e:1: unexpected symbol near '='", -- and not: near '{'
    ["{ size = '1M',\n  write = function() return 5 5 end }"] = "-e:2: 'end' expected near '5'",
    ["local n = 0\nreturn { size = = }"] = "-e:2: unexpected symbol near '='",
    ["local n\nreturn n.x"] = "-e:2: attempt to index local 'n'",
    ["5"] = "-e: the script returned a number; it must return a table",
    [""] = "-e: the script returned nothing",
    ["{ syze = 1 }"] = '-e: unknown field "syze"',
    ["local m = require 'nosuch'"] = "-e:1: module 'nosuch' not found",
    ["local n\ntype = 'x'"] = "-e:2: assignment to type, one of Lua's own names: use a local",
    ["ublk.slep(1)"] = '-e:1: ublk has no field "slep"',
    ["{ size = ublk.flags.FAU }"] = '-e:1: ublk.flags has no field "FAU"',
    ["ublk.sleep(1)"] = "-e: ublk.sleep: not while the script loads", -- a tail call
    ["error('one\\ntwo', 0)"] = "-e: one two",
    ["{ name = 'a\\nb' }"] = '-e: name = "a\\nb": needs a name',
    ["error(setmetatable({}, { __tostring = error }))"] = "-e: an error that cannot be told as",
  }
  for text, said in pairs(cases) do
    local errno, message = evaluate(text)
    lu.assertEquals(errno, "ENOEXEC", text)
    lu.assertStrContains(message, said)
    lu.assertNotStrContains(message, "\n")
  end
end

function M.test_finalizers_of_files_are_out_of_reach()
  local _, message = evaluate "getmetatable(io.stdin).__gc = error"
  lu.assertStrContains(message, "-e:1: attempt to index a string value")
end

function M.test_help_of_a_chunk()
  local text, ok = help("", "-- a disk\nlocal o = ublk.options { n = {} } return {}")
  lu.assertIsTrue(ok)
  lu.assertEquals(text,
    "a disk\n\nusage: ublk-lua [options] -e CHUNK [key=value ...]\n\n  n=STRING\n")
  lu.assertEquals(help("", "{}"), "usage: ublk-lua [options] -e CHUNK\n")
end

function M.test_undeclared_variables_end_the_load()
  local name = path:match "[^/]+$":gsub("%p", "%%%0")
  local errno, message = load "local a\nb = 1\nreturn {}"
  lu.assertEquals(errno, "ENOEXEC")
  lu.assertStrMatches(message, ".*" .. name .. ":2: assignment to undeclared variable b: .*")
  errno, message = load "return { size = sise }"
  lu.assertEquals(errno, "ENOEXEC")
  lu.assertStrMatches(message, ".*" .. name .. ":1: undeclared variable sise: .*")
  errno, message = evaluate "{ size = sise }"
  lu.assertEquals(errno, "ENOEXEC")
  lu.assertStrContains(message, '-e:1: undeclared variable sise: write "local sise"')
end

function M.test_undeclared_variables_end_the_load_in_modules_too()
  local module = path:match "[^/]+$" .. "_module"
  local file = assert(io.open(path .. "_module.lua", "w"))
  file:write "local M = {}\nhelper = 5\nreturn M\n"
  file:close()
  local errno, message = load(("require %q\nreturn {}"):format(module))
  os.remove(path .. "_module.lua")
  lu.assertEquals(errno, "ENOEXEC")
  lu.assertStrContains(message, "_module.lua:2: assignment to undeclared variable helper")
end

function M.test_modules_leave_no_globals()
  local before = {}
  for name in pairs(_G) do before[name] = true end
  before._ = nil -- an earlier test's load may have left it
  load "return { size = '1M' }"
  load ""
  help "return { size = '1M' }"
  for name in pairs(_G) do lu.assertTrue(before[name], "global " .. tostring(name)) end
end

return lu.LuaUnit.new():runSuiteByInstances { { "engine", M } }
