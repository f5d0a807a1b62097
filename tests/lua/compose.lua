-- SPDX-License-Identifier: MIT
-- lua/ublk/compose.lua: the way of a request through the functions of a stack
-- of layers, and which of them look at ranges.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

-- What a script of this text prints, and the results of `requests`.
local function run(script, requests)
  script = "local ublk = require 'ublk'\n" .. script
  local got = rig { script = script, requests = requests, batch = 1 }
  lu.assertEquals(got.load, 0, got.log)
  return got.log:gsub("ublk%-lua: ", ""), got.results, got
end

function M.test_all_layers_may_have_two_functions_and_many_ranges()
  local log, results = run([[
    local layers = {}
    for i = 1, 31 do
      local range = {}
      for j = 1, 17 do range[j] = { (j * 64 + i) * 512, (j * 64 + i + 1) * 512 } end
      layers[i] = { range = range, handler = function(_, sector) print("handler", i, sector) end,
        write = function() print("write", i) return i == 31 and "ENOSPC" or nil end }
    end
    return { layers = layers } ]],
    { { "write", 64 + 31 }, { "write", 17 * 64 + 1 }, { "write", 64 } })
  lu.assertEquals(log, "handler 31 95\nwrite 31\nhandler 1 1089\nwrite 1\n")
  lu.assertEquals(results, { -28, 512, 512 })
end

function M.test_an_ops_function_gets_the_request()
  local log, results = run([[
    return { write = function(sector, length, buf, req)
      print(sector, length, buf[0], req.sector, req.length)
      return "EIO"
    end } ]], { { "write", 8, 512, 7 }, { "read", 8 } })
  lu.assertEquals(log, "8 512 7 8 512\n")
  lu.assertEquals(results, { -5, 512 })
end

function M.test_handler_gets_the_ops_name_too()
  local log, results = run([[
    return { handler = function(op, sector, length, buf, req)
      print(op, sector, length, buf ~= nil, req.sector)
      assert(req.op == ublk.ops[op] and op ~= "write" == (req.op ~= ublk.ops.write))
      return true
    end } ]], { { "discard", 8 }, { "write", 16, 1024 }, { "read", 24 }, { "flush" },
    { "write_zeroes", 32 } })
  lu.assertEquals(log, "discard 8 512 false 8\nwrite 16 1024 true 16\nread 24 512 true 24\n"
    .. "flush 0 0 false 0\nwrite_zeroes 32 512 false 32\n")
  lu.assertEquals(results, { 0, 1024, 512, 0, 0 })
end

function M.test_handler_comes_first_and_the_ops_own_function_where_it_says_nothing()
  local log, results = run([[
    return {
      handler = function(op, sector) print("handler", op) if sector == 1 then return true end end,
      read = function() print "read" return "ENODATA" end,
    } ]], { { "read" }, { "write" }, { "read", 1 } })
  lu.assertEquals(log, "handler read\nread\nhandler write\nhandler read\n")
  lu.assertEquals(results, { -61, 512, 512 })
end

function M.test_false_is_no_verdict_but_said_all_the_same()
  local log, results = run([[
    return { handler = function() return false end, read = function() print "read" end } ]],
    { { "read" } })
  lu.assertEquals(results, { -5 })
  lu.assertNotStrContains(log, "read\n")
  lu.assertStrContains(log, "returned false")
end

-- What the layers of a run have counted: "NAME SEEN HIT, …".
local function counts(got)
  local list = {}
  for i, layer in ipairs(got.layers) do
    list[i] = ("%s %d %d"):format(layer.name, layer.seen, layer.hit)
  end
  return table.concat(list, ", ")
end

function M.test_layers_are_asked_in_their_order_until_one_decides()
  local log, results, got = run([[
    local function layer(name, at)
      return { name = name, read = function(sector)
        print(name)
        if sector == at then return "EIO" end
      end }
    end
    return { read = layer("device", 1).read, layers = { layer("a", 2), layer("b", 3) },
      backing = layer("c", 4) }
    ]], { { "read", 1 }, { "read", 2 }, { "read", 3 }, { "read", 4 }, { "read", 5 } })
  local all = "device\na\nb\nc\n"
  lu.assertEquals(log, "device\n" .. "device\na\n" .. "device\na\nb\n" .. all .. all)
  lu.assertEquals(results, { -5, -5, -5, -5, 512 })
  lu.assertEquals(counts(got), "device 5 1, a 4 1, b 3 1, c 2 1")
end

function M.test_layers_without_a_say_in_an_op_are_not_asked()
  local _, results, got = run([[
    return { read = function() end, layers = { { name = "w", write = function() end },
      { name = "all", handler = function() end }, { name = "none" } } }
    ]], { { "read" }, { "write" }, { "flush" } })
  lu.assertEquals(results, { 512, 512, 0 })
  lu.assertEquals(counts(got), "device 1 0, w 1 0, all 3 0, none 0 0")
end

function M.test_layers_of_one_name_are_told_apart()
  local _, _, got = run([[
    local function layer() return { name = "x", read = function() end } end
    return { layers = { layer(), layer(), layer() } } ]], { { "read" } })
  lu.assertEquals(counts(got), "device 0 0, x 1 0, x 2 1 0, x 3 1 0")
end

function M.test_a_range_is_of_its_layer()
  local _, results, got = run([[
    local function fail() return "EIO" end
    return { layers = { { name = "a", range = "4K..8K", handler = fail },
      { name = "b", range = { "512..1K", "64K.." }, handler = function() return "ENOSPC" end },
      { name = "c", read = function() end } } }
    ]], { { "read", 8 }, { "read", 1 }, { "read", 0 }, { "write", 128 }, { "write", 127 },
    { "write", 0, 8192 }, { "discard", 200 }, { "flush" } })
  lu.assertEquals(results, { -5, -28, 512, -28, 512, -5, -28, -5 })
  lu.assertEquals(counts(got), "device 0 0, a 3 3, b 3 3, c 1 0")
end

function M.test_a_layer_without_data_gets_none()
  local log, results = run([[
    local function show(_, _, buf) print(buf) end
    return { layers = { { data = false, write = show },
      { data = false, handler = function(op, s, n, buf) print(op, buf) end },
      { write = function(_, n, buf) print(buf[n - 1]) end } } }
    ]], { { "write", 0, 512, 7 } })
  lu.assertEquals(log, "nil\nwrite nil\n7\n")
  lu.assertEquals(results, { 512 })
end

function M.test_handler_and_own_function_in_one_layer()
  local log, results, got = run([[
    return { layers = { {
      handler = function(op, s, n, buf, req)
        print("handler", s)
        if s == 1 then return "EIO" end
        if s == 2 then req:hit() end
        if s == 3 then req:forward() end
      end,
      read = function(s) print("read", s) if s == 4 then return "ENOSPC" end end,
    } } } ]], { { "read", 0 }, { "read", 1 }, { "read", 2 }, { "read", 3 }, { "read", 4 } })
  -- What the handler has forwarded is done.
  lu.assertEquals(log, "handler 0\nread 0\nhandler 1\nhandler 2\nread 2\nhandler 3\nhandler 4\n"
    .. "read 4\n")
  lu.assertEquals(results, { 512, -5, 512, 512, -28 })
  lu.assertEquals(counts(got), "device 0 0, layer 1 5 4")
end

function M.test_hits_are_verdicts_waits_and_marks_and_count_once()
  local _, results, got = run([[
    return { layers = {
      { name = "verdict", read = function(s) if s == 0 then return true end end },
      { name = "wait", read = function(s) if s == 1 then ublk.sleep(1) ublk.sleep(1) end end },
      { name = "mark", read = function(s, n, b, req) if s == 2 then req:hit() req:hit() end end },
      { name = "both", read = function(s, n, b, req)
        if s == 3 then req:hit() ublk.sleep(1) req:forward() return "EIO" end
      end },
      { name = "below", read = function() end },
    } } ]], { { "read", 0 }, { "read", 1 }, { "read", 2 }, { "read", 3 }, { "read", 4 } })
  lu.assertEquals(results, { 512, 512, 512, -5, 512 })
  lu.assertEquals(counts(got), "device 0 0, verdict 5 1, wait 4 1, mark 4 1, both 4 1, below 4 0")
end

return lu.LuaUnit.new():runSuiteByInstances { { "compose", M } }
