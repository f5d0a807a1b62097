#!/usr/bin/env bats
# `ublk-lua check`: what it finds in a script, what it says about it, and its exit status.
bats_require_minimum_version 1.5.0

setup() {
  program=$PWD/${BUILD:-build}/ublk-lua
  examples=$PWD/examples
  lua=$PWD/lua
  readme=$PWD/README.md
  cd "$BATS_TEST_TMPDIR" || return
}

# says STATUS TEXT WORD...: check exits with STATUS and TEXT is in its report.
says() {
  local want=$1 text=$2
  shift 2
  run --separate-stderr -"$want" "$program" check "$@"
  [[ $output == *"$text"* ]] || { echo "no '$text' in: $output" "$stderr" && return 1; }
}

# finds FILTER WORD...: jq finds it true of the report.
finds() {
  local filter=$1
  shift
  "$program" check --json "$@" >report.json || true
  jq -e "$filter" report.json || { echo "not $filter: $(cat report.json)" && return 1; }
}

liar() {
  echo 'return { size = "1M", read = function(s, n, buf)
    if s > 1000 then buf[3] = 5 return true end end }' >liar.lua
}

@test "every example passes, and its report fits a screen of 100 columns" {
  for script in "$examples"/*.lua; do
    says 0 "${script##*/}: fine" "$script"
    # It says what it does; that costs are measured says nothing more.
    local said=
    [ "${script##*/}" != stuck.lua ] ||
      said=$'ublk-lua: the disk hangs\nublk-lua: 128 requests go on'
    [ "$stderr" = "$said" ] || { echo "stderr: $stderr" && return 1; }
    [ "${#lines[@]}" -le 24 ]
    for line in "${lines[@]}"; do [ "${#line}" -le 100 ]; done
  done
}

@test "handlers, their place and their requests are told" {
  says 0 "handlers   write        faulty.lua:18" "$examples/faulty.lua"
  finds '.handlers == [{"op": "write", "layer": "device", "place": "faulty.lua:18"}]' \
    "$examples/faulty.lua"
  finds '.ops.write | .scripted == .requests and .passed + .errnos.EIO == .requests' \
    "$examples/faulty.lua"
  finds '.ops.read | .scripted == 0 and .passed == .requests' "$examples/faulty.lua"
  says 0 "none: no request reaches Lua" "$examples/ramdisk.lua"
}

@test "errnos are counted by name, done apart from passed" {
  echo 'return { size = "1M", flush = function() return true end,
    write = function(s) if s < 500 then return "ENOSPC" elseif s < 900 then return -5 end end }' \
    >mixed.lua
  finds '.ops.write.errnos | .ENOSPC > 100 and .EIO > 100 and length == 2' mixed.lua
  finds '.ops.flush | .done == .requests and .passed == 0' mixed.lua
}

@test "what a device does not have is not sent" {
  echo 'return { size = "64M", volatile_cache = false, max_discard = 0,
    write = function(_, _, _, req)
      if bit.band(req.flags, ublk.flags.FUA) ~= 0 then return "EIO" end end }' >plain.lua
  sed -i '1i local ublk = require "ublk"' plain.lua
  finds '.ops | (.flush.requests // 0) == 0 and (.discard.requests // 0) == 0 and
    .write_zeroes.requests > 0 and .write.passed == .write.requests' plain.lua
}

@test "costs are told, with C alone beside them" {
  finds '.ops.write | .ns > 0 and .c_ns > 0' "$examples/faulty.lua"
  finds '.ops.read | .ns == null and .c_ns > 0' "$examples/faulty.lua"
}

@test "a handler that throws is a problem, told with its line and how often" {
  printf 'return { size = "1M",\n  read = function(s) if s %% 2 == 0 then error "boo" end end }\n' \
    >throw.lua
  says 1 "throw.lua: 1 problem" throw.lua
  [[ $output =~ problem:\ read:\ throw.lua:2:\ boo\ \([0-9]+\ times\) ]]
  [ "$stderr" = "" ]
  finds '.ok == false and (.mistakes | length == 1) and .mistakes[0].count > 1000 and
    .mistakes[0].count == .ops.read.errnos.EIO' throw.lua
  says 1 "stack traceback:" -v throw.lua
}

@test "what is no verdict is a problem" {
  echo 'return { size = "1M", write = function() return 17 end }' >bad.lua
  says 1 "write: the handler returned 17, which is no verdict" bad.lua
}

@test "wrong data is told, and fails only when clean data is expected" {
  liar
  says 0 "liar.lua: fine, if its data is meant to be wrong" liar.lua
  [[ $output =~ data:\ [0-9]+\ of\ [0-9]+\ sectors\ that\ were\ read\ are\ wrong ]]
  [[ $output == *"it is at 3: 0x05, not 0x00; expected zeros"* ]]
  says 1 "liar.lua: 1 problem" --expect-clean liar.lua
  finds '.wrong_data > 100 and (.wrong_sectors | length == 4) and .ok' liar.lua
  says 0 "right: " --expect-clean "$examples/faulty.lua"
}

@test "what does not compile is named with its line, its reason and what to do" {
  printf '%s\n' 'local sum = 0' 'local function each(f) f(1) end' 'return { size = "1M",' \
    'read = function(s)' 'each(function(x) sum = sum + x + s end)' 'end }' >slow.lua
  finds '.aborts | length == 1 and .[0].handler == "read" and .[0].place == "slow.lua:5"' slow.lua
  [ ! -e /usr/share/luajit-2.1.0-beta3/jit/vmdef.lua ] || {
    says 0 "read: NYI: bytecode 'FNEW' at slow.lua:5:" slow.lua
    [[ $output == *"move the closure out of the handler"* ]]
  }
}

@test "what compiles after some tries is no alarm" {
  finds '.compiled == true and .aborts == []' "$examples/faulty.lua" op=any rate=10%
  says 0 "compiled   yes: handlers run as machine code" "$examples/faulty.lua" rate=50%
}

@test "of what does not compile only what the script can do without is told" {
  printf '%s\n' 'return { size = "1M",' 'write = function(s)' \
    'return os.time() < s and "EIO" or nil' 'end }' >call.lua
  finds '.aborts | length == 1 and .[0].call and .[0].place == "call.lua:3"' call.lua
  says 0 "compiled   yes, but for calls that LuaJIT does not compile" call.lua
  [[ $output == *"write: call of os.time at call.lua:3"* ]]
  # What waits, or runs beside the requests, is interpreted and may do all that.
  finds '.aborts == [] and .waits > 7000' "$examples/reorder.lua"
  says 0 "what waits runs interpreted, as it must" "$examples/reorder.lua"
  echo 'local ublk = require "ublk" local kept
    ublk.every("1ms", function() for i = 1, 300 do kept = function() return i end end end)
    return { size = "1M", write = function(s) if s == 8 then ublk.sleep(1) end end }' >task.lua
  finds '.aborts == [] and .compiled' task.lua
}

@test "the same seeds give the same run" {
  digest() { "$program" check --json "$@" | jq -r .digest; }
  [ "$(digest --seed 3 "$examples/faulty.lua")" = "$(digest --seed 3 "$examples/faulty.lua")" ]
  [ "$(digest --seed 3 "$examples/faulty.lua")" != "$(digest --seed 4 "$examples/faulty.lua")" ]
  [ "$(digest --workload 3 "$examples/faulty.lua")" != "$(digest "$examples/faulty.lua")" ]
}

@test "a backing file is left alone, and the report says so" {
  head -c 1M /dev/urandom >disk.img
  local before
  before=$(sha256sum <disk.img)
  chmod 400 disk.img # its size may be read, no more
  says 0 "disk.img was left alone: memory of its size took its place" \
    "$examples/faulty.lua" file=disk.img
  finds '.device | .file == "disk.img" and .backing == "mem" and .size == 1048576' \
    "$examples/faulty.lua" file=disk.img
  [ "$(sha256sum <disk.img)" = "$before" ]
}

@test "backings over others are tried out, and their files left alone" {
  truncate -s 8M a.img
  truncate -s 9M b.img
  echo 'local ublk = require "ublk"
    return { backing = ublk.stripe{ ublk.file "a.img", ublk.file "b.img" } }' >stripe.lua
  says 0 "a.img, b.img were left alone: memory of their sizes took their place" stripe.lua
  finds '.ok and (.device | .backing == "stripe(mem, mem)" and .size == 16777216)' stripe.lua
  [ "$(stat -c %b a.img b.img)" = $'0\n0' ]
  echo 'local ublk = require "ublk"
    return { backing = ublk.cow(ublk.file "a.img", { store = ublk.file "cow.img" }) }' >cow.lua
  finds '.ok and (.device | .backing == "cow(mem, mem)" and .file == "a.img, cow.img")' cow.lua
  [ ! -e cow.img ]
}

@test "what the script prints goes to stderr, and not on for ever" {
  echo 'print "loud" io.write "bare" return { size = "1M", read = function() print "here" end }' \
    >loud.lua
  run --separate-stderr -0 "$program" check --json loud.lua
  jq -e .ok <<<"$output"
  [[ $stderr == *loud* && $stderr == *bare* ]]
  [ "${#stderr_lines[@]}" -le 25 ]
  [[ $stderr =~ 'the script has logged '[0-9]+' more lines, shown with -v' ]]
}

@test "the report is the same in words that are no ASCII" {
  printf 'return { size = "1M", read = function() error "caf\303\251 \377" end }\n' >words.lua
  finds '.mistakes[0].message | test("caf")' words.lua
}

@test "counts, batches and depths are kept to" {
  finds '([.ops[].requests] | add == 500) and .batch == 4 and .device.depth == 9' \
    --requests 500 --batch 4 -d 9 "$examples/null.lua"
}

@test "wrong usage has status 2, a script that is not there 1" {
  run --separate-stderr -2 "$program" check --frobnicate "$examples/null.lua"
  run --separate-stderr -2 "$program" check "$examples/null.lua" rat=1
  run --separate-stderr -2 "$program" check
  run --separate-stderr -2 "$program" check --stats x "$examples/null.lua"
  [[ $stderr == *"--stats: not an option of check"* ]]
  run --separate-stderr -2 "$program" --requests 5 "$examples/null.lua"
  [[ $stderr == *"--requests: not an option of run"* ]]
  run --separate-stderr -2 "$program" check "$examples/null.lua" -- true
  run --separate-stderr -1 "$program" check no-such.lua
  [[ $stderr == *"no-such.lua: no such script"* ]]
}

@test "it has help of its own, which goes to stdout" {
  run --separate-stderr -0 "$program" check --help
  [[ $output == *"--expect-clean"* && $output != *"--stats"* ]]
  for line in "${lines[@]}"; do [ "${#line}" -le 100 ]; done
  # Each reason to exit with 1 is there, as in the README.
  for reason in "does not load" "threw" "wrong verdict" "no answer" --memory --expect-clean \
    --debug "has a bug"; do
    [[ ${output#*exit status:} == *"$reason"* ]]
    [[ $(sed -n '/Exit status: 0 fine/,/^$/p' "$readme") == *"$reason"* ]]
  done
}

@test "what sleeps is answered at once; what is held for ever is a problem" {
  echo 'local ublk = require "ublk" return { size = "1M", layers = {
    { name = "slow", range = "0..64K", read = function() ublk.sleep(3600) end } } }' >sleep.lua
  says 0 "layer slow, range 0..64K" sleep.lua
  finds '.layers.slow | .hit == .seen and .hit > 5' sleep.lua
  echo 'return { size = "1M", read = function(s)
    if s == 8 then return require("ublk").hold "it" end end }' >hold.lua
  says 1 "got no answer, and nothing is left that would bring one" hold.lua
  [ "$stderr" = "" ]
  [[ $output =~ [0-9]+' in ublk.hold "it", which was never released' ]]
  finds '(.unanswered > 0 and .holds == [{kind: "hold", name: "it", count: .unanswered}]) and
    .gave_up == false' hold.lua
}

@test "tasks that never rest keep neither the clock nor the end from coming" {
  echo 'local ublk = require "ublk" local function spin() ublk.spawn(spin) end spin()
    return { size = "1M", read = function() ublk.sleep "1h" end }' >spin.lua
  finds '.ok and .requests == 300' --requests 300 spin.lua
  echo 'local ublk = require "ublk" ublk.every("1us", function() end)
    return { size = "1M", read = function() ublk.sleep { "1h", "3h" } end }' >tick.lua
  finds '.ok and .requests == 2000' --requests 2000 tick.lua
  echo 'local ublk = require "ublk" ublk.every("1us", function() end)
    return { size = "1M", read = function(s) return ublk.wait(s % 8) end }' >door.lua
  says 1 "got no answer in 100 years of simulated time, while tasks went on" door.lua
  [[ $output =~ [0-9]+' in ublk.wait "'[0-7]'", which was never signalled' ]]
  [[ $output == *"and 4 names more"* ]]
  finds '.gave_up and (.holds | length == 8 and (map(.count) == (map(.count) | sort | reverse)))' \
    door.lua
}

@test "a range beyond the device's end is named" {
  echo 'local function eio() return "EIO" end return { size = "64M", layers = {
    { name = "all", range = "0..", write = function() end },
    { name = "far", range = "1G..2G", read = eio, flush = function() end },
    { name = "any", range = "64M..", handler = eio },
    { name = "partly", range = { "0..64K", "1G..2G" }, read = eio } } }' >far.lua
  says 0 "far.lua:1, layer far, range 1G..2G beyond the device's end: asked about nothing" far.lua
  [[ $output == *"layer any, range 64M.. beyond the device's end: asked about flushes only"* ]]
  [[ $output == *"range 0..64K, 1G..2G (1 of 2 beyond the device's end)"* ]]
  [[ $output == *"far.lua:3, layer far"$'\n'* ]] # its flushes have no place
  [[ $output == *"layer all"$'\n'* ]] # a range that leaves nothing out is none
  finds '.handlers | map(.ranges_beyond_end) == [null, 1, null, 1, 1]' far.lua
  echo 'return { size = "1M", read = function() end, range = "1M.." }' >own.lua
  says 0 "layers     device       saw no request" own.lua
}

@test "of a layer is said what it did: hits, mistakes, or that it let all go on" {
  echo 'return { size = "64M", layers = { { name = "counts", read = function() end },
    { name = "throws", write = function() error "x" end },
    { name = "odd", flush = function(s, n, buf, req) req:hit() return 5 end } } }' >layers.lua
  says 1 "" layers.lua
  [[ $output =~ counts\ +let\ all\ [0-9]+\ requests\ that\ it\ saw\ go\ on ]]
  [[ $output =~ throws\ +hit\ 0\ of\ the\ ([0-9]+)\ requests\ that\ it\ saw,\ made\ ([0-9]+) ]]
  [ "${BASH_REMATCH[1]}" = "${BASH_REMATCH[2]}" ]
  finds '.layers | .counts.mistakes == 0 and .throws.mistakes == .throws.seen and
    .odd.mistakes == .odd.seen' layers.lua
}

@test "that one queue of several was tried is said" {
  says 0 "one queue of its 4 was tried" -e '{ size = "1M", queues = 4 }'
  finds '.device.queues == 4 and .queues_tried == 1' -e '{ size = "1M", queues = 4 }'
  says 0 "one queue of its 6 was tried" -e '{ size = "1M", queues = 2, threads = 3 }'
  says 0 "fine" -e '{ size = "1M" }'
  [[ $output != *"was tried"* ]]
}

@test "an error of the engine is a problem" {
  mkdir ublk
  sed 's/^function M.settle([^)]*) /&error "oops" /' "$lua/ublk/engine.lua" >ublk/engine.lua
  export UBLK_LUA_PATH=$PWD
  echo 'return { size = "1M", read = function() coroutine.yield() end }' >yield.lua
  says 1 'told above as "bug in"' --requests 9 yield.lua
  [[ $stderr == *"bug in engine.settle: "*oops* ]]
  finds '.ok == false and .bugs > 0' --requests 9 yield.lua
}

@test "what was forwarded and failed after it may have changed" {
  echo 'return { size = "1M", write = function(s, n, buf, req)
    req:forward() if s % 64 == 0 then return "EIO" end end }' >late.lua
  says 0 "data       right" --expect-clean late.lua
  # The second time a layer below refuses what the first time went down to the backing.
  echo 'local again = {} return { size = "1M", write = function(s, n, buf, req)
      again[req.tag] = false req:forward() again[req.tag] = true req:forward() end,
    layers = { { write = function(s, n, buf, req)
      if again[req.tag] and s % 64 == 0 then return "EIO" end end } } }' >twice.lua
  says 0 "data       right" --expect-clean twice.lua
  finds '.ops.write | .passed > 6000 and .done == 0 and .errnos.EIO > 50' twice.lua
}

@test "a script on the command line is checked too" {
  says 0 "4 MiB" -e '{ size = "4M" }'
}

@test "counters and histograms are told as --stats does" {
  echo 'local ublk = require "ublk"
    local count, sizes = ublk.counter "writes", ublk.histogram("sizes", "size")
    ublk.histogram "none"
    return { size = "1M", write = function(_, length)
      count:add() if length == 512 then sizes:record(2048) end end }' >numbers.lua
  says 0 "histograms sizes        " numbers.lua
  [[ $output =~ 'counters   writes       '[0-9]+ ]]
  [[ $output == *" values, p50 2K, p99 2K, max 2K"* && $output == *"none         0 values"* ]]
  finds '.counters.writes == .ops.write.requests and .histograms.sizes.p50 == 2048' numbers.lua
}

@test "a script that wants its device to end is told when" {
  echo 'return { size = "1M", on_error = "stop", read = function(s)
    if s == 8 then error "enough" end end }' >stop.lua
  says 1 "stop       asked for when " stop.lua
  finds '.stopped > 0 and .stopped % 32 == 0 and .requests == 20000' stop.lua
}

@test "a script that takes too much memory is a problem" {
  echo 'local all = {} return { size = "1M", read = function()
    all[#all + 1] = ("x"):rep(1000) .. #all end }' >leak.lua
  says 1 "problem: it held more than --memory allows, and was not asked any more" \
    --memory 4M leak.lua
  says 0 "leak.lua: fine" leak.lua
}

@test "a queue that takes more memory than there is ends with a word on it" {
  [ "${BUILD:-build}" = build ] || skip "a sanitizer reserves more address space than that"
  echo 'return { size = "64M", max_io = "32M", depth = 4096, read = function() end }' >deep.lua
  (ulimit -v 8000000 && run --separate-stderr -1 "$program" check deep.lua &&
    [ "$stderr" = "ublk-lua: no memory for a queue of depth 4096" ])
}

@test "odd devices are checked too" {
  finds '.ok and .ops.flush.requests > 0' -e '{ size = 512, handler = function() end }'
  finds '.ok' --requests 1 -e '{ size = "8P", backing = ublk.null(), read = function() end }'
  finds '.ok' -e '{ size = "1M", depth = 1, queues = 4, read = function() ublk.sleep(1) end }'
  finds '.ok and (.ops | has("write") | not)' -e '{ size = "1M", read_only = true,
    write = function() end, flush = function() end }'
  finds '.compiler | test("thrown away")' -e '{ size = "1M", read = function() jit.flush() end }'
}

@test "--debug finds writes beside a buffer, and after its request's answer" {
  echo 'return { size = "1M", write = function(s, n, buf) if s == 8 then buf[n] = 1 end end }' \
    >beyond.lua
  says 1 "misuses of a request's buffer, told above" --debug beyond.lua
  [[ $stderr == *"--debug: the buffer of a write (sector 8, "*" was written beyond its end"* ]]
  finds '.misuses > 1 and .ok == false and .ops.write.ns == null' --debug beyond.lua
  finds '.misuses == 0 and .ok' beyond.lua
}

@test "with --debug a script that misuses nothing is served as without" {
  for script in "$examples"/{bitrot,faulty,ramdisk,reorder}.lua; do
    finds '.misuses == 0 and .ok' --debug "$script"
    digest=$(jq .digest report.json)
    finds ".digest == $digest" "$script"
  done
}

@test "a recursion through C is an error, whatever stack the shell gives" {
  [ "${BUILD:-build}" = build ] || skip "functions take more stack with a sanitizer"
  ulimit -Ss 8192
  local f='local function f(s) return (s:gsub(".", f)) end'
  run -1 "$program" check -e "$f f 'a' return { size = '1M' }"
  [ "$output" = "ublk-lua: -e: stack overflow" ]
  says 1 "flush: in the handler at -e:1: stack overflow" --debug --requests 20 \
    -e "$f return { size = '1M', flush = function() f 'a' end }"
}
