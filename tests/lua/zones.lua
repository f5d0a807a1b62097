-- SPDX-License-Identifier: MIT
-- The requests that only zoned devices get: who is asked about them, what he sees,
-- and what becomes of his verdict.
local lu = require "luaunit"
local rig = _G.rig

local M = {}

local ZONE = 128 -- sectors

-- What a device of 16 zones prints whose `fields` these are, and the results of `requests`.
local function run(fields, requests)
  local got = rig {
    script = "local ublk = require 'ublk' local ffi = require 'ffi'\n"
      .. "return { backing = ublk.zoned(ublk.mem(), { zone_size = '64K', zone_capacity = '64K' }), "
      .. fields .. " }",
    requests = requests, batch = 1,
  }
  lu.assertEquals(got.load, 0, got.log)
  return got.log:gsub("ublk%-lua: ", ""), got.results, got
end

function M.test_each_op_has_its_function_and_its_zone()
  local names = { "zone_open", "zone_close", "zone_finish", "zone_reset" }
  local fields, requests, expected = {}, {}, ""
  for i, name in ipairs(names) do
    fields[i] = ("%s = function(s, n, buf) print('%s', s, n, buf) end"):format(name, name)
    requests[i] = { name, 2 * ZONE, 0 }
    expected = expected .. name .. " 256 65536 nil\n"
  end
  fields[5] = "zone_reset_all = function(s, n) print('all', s, n) end"
  requests[5] = { "zone_reset_all", 0, 0 }
  local log, results = run(table.concat(fields, ", "), requests)
  lu.assertEquals(log, expected .. "all 0 0\n")
  lu.assertEquals(results, { 0, 0, 0, 0, 0 })
end

function M.test_an_append_tells_where_it_is()
  local log, results, got = run([[
    zone_append = function(s, n, buf, req)
      print(s, n, buf[0], req:placed())
      print(req:forward(), req:placed())
    end, read = function(_, _, _, req) print(req:placed()) end]],
    { { "zone_append", ZONE, 512, 7 }, { "zone_append", ZONE, 1024, 8 },
      { "read", ZONE + 1, 1024 } })
  lu.assertEquals(log, "128 512 7 nil\nnil 128\n128 1024 8 nil\nnil 129\nnil\n")
  lu.assertEquals(results, { 512, 1024, 1024 })
  lu.assertEquals(got.answers[3].first, 8)
end

function M.test_what_an_append_brings_can_be_changed()
  local _, results, got = run("zone_append = function(_, _, buf) buf[0] = 9 end",
    { { "zone_append", 0, 512, 7 }, { "read", 0, 512 } })
  lu.assertEquals(results, { 512, 512 })
  lu.assertEquals({ got.answers[2].first, got.answers[2].last }, { 9, 7 })
end

function M.test_a_verdict_is_the_requests()
  local _, results = run([[
    zone_append = function() return "ENOSPC" end, zone_reset = function() return "EIO" end,
    zone_open = function() return true end, report_zones = function() return -5 end]],
    { { "zone_append", 0 }, { "zone_reset", 0, 0 }, { "zone_open", 0, 0 },
      { "report_zones", 0, 64 } })
  lu.assertEquals(results, { -28, -5, 0, -5 })
end

function M.test_what_only_the_zones_know_cannot_be_done_by_true()
  local _, results = run("zone_append = function() return true end, report_zones = "
    .. "function() return true end", { { "zone_append", 0 }, { "report_zones", 0, 64 } })
  lu.assertEquals(results, { -5, -5 })
  _, results = run([[
    zone_append = function(_, _, _, req) req:forward() return true end,
    report_zones = function(_, _, _, req) req:forward() return true end]],
    { { "zone_append", 0 }, { "report_zones", 0, 64 } })
  lu.assertEquals(results, { 512, 65536 })
end

function M.test_a_report_can_be_seen_and_changed()
  local log, _, got = run([[
    report_zones = function(_, n, buf, req)
      req:forward()
      local zone = ffi.cast("uint64_t *", buf)
      print(n, tonumber(zone[8]), buf[64 + 24], buf[64 + 25])
      buf[127] = 7
    end]], { { "report_zones", ZONE, 128 } })
  lu.assertEquals(log, "128 256 2 1\n") -- the second of them: its start, type and condition
  lu.assertEquals(got.answers[1].last, 7)
end

function M.test_a_range_holds_where_there_is_a_place()
  local log = run([[range = "64K..128K", handler = function(op) print(op) end]],
    { { "zone_open", ZONE, 0 }, { "zone_open", 0, 0 }, { "zone_reset", 2 * ZONE, 0 },
      { "zone_append", 4 * ZONE }, { "zone_reset_all", 0, 0 }, { "report_zones", 0, 64 } })
  lu.assertEquals(log, "zone_open\nzone_append\nzone_reset_all\nreport_zones\n")
end

function M.test_what_a_script_asks_the_backing_keeps_to_the_rules()
  local log = run([[
    flush = function()
      local buf = ffi.new "uint8_t[512]"
      print(ublk.backing:write(1, 512, buf), ublk.backing:write(0, 512, buf))
      print(ublk.backing:discard(0, 512))
    end]], { { "flush" } })
  lu.assertEquals(log, "EIO nil\nEOPNOTSUPP\n")
end

return lu.LuaUnit.new():runSuiteByInstances { { "zones", M } }
