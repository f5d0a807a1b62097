#!/usr/bin/env bats
# Each example over the simulated queue: a mixed workload, every answer held
# against what an honest disk would say. And that a seed repeats its faults.
bats_require_minimum_version 1.5.0

setup() {
  check=("$PWD/${BUILD:-build}/ublk-lua" check --json)
  examples=$PWD/examples
  cd "$BATS_TEST_TMPDIR" || return
}

# sim WORD...: check it, it is fine; $output is its JSON.
sim() {
  run --separate-stderr -0 "${check[@]}" "$@"
  # shellcheck disable=SC2154 # bats sets it
  [ "$stderr" = "" ] || { echo "stderr: $stderr" && return 1; }
}

# holds FILTER: jq finds it true of $output.
holds() {
  jq -e "$1" <<<"$output" >/dev/null || { echo "not $1: $output" && return 1; }
}

digest() {
  "${check[@]}" "$@" | jq -r .digest
}

# faults [--seed N] OPTION: what a run of faulty.lua with this option comes to.
faults() {
  local seed=()
  [ "$1" != --seed ] || { seed=("$1" "$2") && shift 2; }
  digest "${seed[@]}" "$examples/faulty.lua" "$@"
}

# each WORD...: every example under these options of the run, as a disk that does no wrong.
each() {
  local script words
  for script in "$examples"/*.lua; do
    case $script in
    */bitrot.lua) words=(rate=0) ;;
    */stuck.lua) words=(after=1h) ;; # it says so when it hangs
    *) words=() ;;
    esac
    sim "$@" "$script" "${words[@]}"
    holds "[.ops[].requests] | add == ${2}"
    holds '.unanswered == 0 and .wrong_results == 0 and .wrong_data == 0'
  done
}

# watch EXAMPLE WORD...: the example below a layer that tells of each request, in the order in which
# they are done: number, op, sector, seconds, errno, wrong bits, and the first wrong byte's place.
# On the simulated clock, which stands still while there is something to do. check runs a script
# again to see what it costs; the first 1000 requests are those that it tells of.
watch() {
  rm -f told
  cat >watch.lua <<END
    local ublk, ffi, bit = require 'ublk', require 'ffi', require 'bit'
    local disk, came, ended = dofile '$examples/$1', 0, 0
    local told = io.open('told', 'a')
    told:setvbuf 'line'
    local function wrong(sector, length, buf)
      local bits, first, mine = 0, -1, ffi.new('uint8_t[?]', length)
      ublk.backing:read(sector, length, mine)
      for at = length - 1, 0, -1 do
        local differ = bit.bxor(buf[at], mine[at])
        if differ ~= 0 then first = sector * 512 + at end
        while differ ~= 0 do bits, differ = bits + 1, bit.band(differ, differ - 1) end
      end
      return bits, first
    end
    return { backing = disk, handler = function(op, sector, length, buf, req)
      came = came + 1
      local number, start = came, ublk.now()
      local failed = req:forward()
      ended = ended + 1
      local order, took = ended, ('%.6f'):format(ublk.now() - start)
      local bits, first = 0, -1
      if op == 'read' and not failed then bits, first = wrong(sector, length, buf) end
      local words = { order, number, op, sector, took, failed or 'ok', bits, first }
      told:write(table.concat(words, ' '), '\n')
    end }
END
  "${check[@]}" --requests 1000 "${shape[@]}" watch.lua "${@:2}" 2>log >out
  head -n 1000 told | sort -n | cut -d ' ' -f 2- >requests
  [ "$(wc -l <requests)" -eq 1000 ]
}

# are CONDITION: awk finds it true of each request of `watch`.
are() {
  awk "{ number = \$1; op = \$2; sector = \$3; took = \$4; result = \$5; bits = \$6; at = \$7 }
    !($1) { print \"not so: \" \$0; exit 1 }" requests
}

@test "each example loads and answers every request once" {
  each --requests 5000
}

@test "each example does so whatever the batch and the depth" {
  local shape
  for shape in "--batch 1 -d 1" "--batch 3 -d 7" "--batch 128 -d 128" "--batch 1 -d 512"; do
    read -ra words <<<"$shape"
    each --requests 1000 "${words[@]}"
  done
}

@test "a request that no handler asks for does not reach the script" {
  sim --requests 1000 "$examples/ramdisk.lua"
  holds '[.ops[] | .scripted, .errors] | add == 0'
}

@test "faulty.lua fails its share of writes and nothing else" {
  sim --requests 20000 "$examples/faulty.lua" rate=5%
  holds '.ops.write | .scripted == .requests and .injected == .errors'
  # A share of about 7500 writes, give or take ten standard deviations.
  holds '.ops.write | .errors / .requests > 0.025 and .errors / .requests < 0.075'
  holds '.ops | del(.write) | [.[] | .errors, .scripted] | add == 0'
}

@test "faulty.lua fails all or none where it is told to" {
  sim --requests 2000 "$examples/faulty.lua" rate=1
  holds '.ops.write | .errors == .requests'
  sim --requests 2000 "$examples/faulty.lua" rate=0
  holds '[.ops[].errors] | add == 0'
}

@test "faulty.lua fails the op that it is told to" {
  for op in read write flush discard; do
    sim --requests 2000 "$examples/faulty.lua" rate=100% op=$op
    holds ".ops.$op | .errors == .requests"
    holds ".ops | del(.$op) | [.[].errors] | add == 0"
  done
  sim --requests 2000 "$examples/faulty.lua" rate=100% op=any
  holds '[.ops[].errors] | add == 2000'
}

@test "slow.lua delays its op in its range, by times of its range" {
  local shape=()
  watch slow.lua op=read range=1M..4M time=2ms..10ms size=8M
  are 'took == 0 || op == "read" && sector < 8192 && took >= 0.002 && took <= 0.01'
  are 'op != "read" || sector < 2048 || sector >= 8192 || took > 0'
  awk '$4 > 0 && $4 < 0.003 { low++ } $4 > 0.009 { high++ } END { exit !(low && high) }' requests
  watch slow.lua
  are 'took >= 0.002 && took <= 0.01'
  watch slow.lua rate=10% time=5ms
  are 'took == 0 || took == 0.005'
  awk '$4 > 0 { slow++ } END { exit !(slow > 50 && slow < 200) }' requests
}

@test "slow.lua wants a time that ends" {
  run --separate-stderr -1 "${check[@]}" "$examples/slow.lua" time=5ms..
  [[ $stderr == *"a range that ends is needed"* ]]
}

@test "stuck.lua holds what comes to its range until the time is up, and is well after that" {
  local shape=(-d 16)
  watch stuck.lua range=1M..2M size=8M time=30s
  are 'took == 0 || took == 30'
  are 'took == 0 || op == "flush" || sector < 4096'
  grep -qx 'ublk-lua: the disk hangs' log
  grep -qx "ublk-lua: $(awk '$4 > 0' requests | wc -l) requests go on" log
  # What is stuck ends together, in the order in which it came.
  awk '$4 > 0 { if ($1 < last || ended && NR != ended + 1) exit 1; last = $1; ended = NR }
    END { if (!last) exit 1 }' requests
  are 'result == "ok"'
}

@test "stuck.lua can end what is stuck with an error, and begin later" {
  local shape=()
  watch stuck.lua errno=ETIMEDOUT op=write
  are '(took > 0) == (result == "ETIMEDOUT") && (took == 0 || op == "write")'
  grep -q ETIMEDOUT requests
  watch stuck.lua after=1h
  are 'took == 0'
}

@test "reorder.lua serves what it has gathered last one first" {
  local shape=(-d 16 --batch 16)
  watch reorder.lua op=any count=4
  are 'took <= 0.005'
  # Turns of four, each from its last to its first, but for one that the time ends.
  awk '$2 ~ /^(read|write)$/ { if ($1 < last) down++; else turns++; last = $1; all++ }
    END { exit !(down > all * 0.7 && turns >= all / 4) }' requests
}

@test "reorder.lua keeps a lone request no longer than it may" {
  local shape=(-d 1 --batch 1)
  watch reorder.lua time=3ms
  are 'took == (op == "write" ? 0.003 : 0)'
}

@test "reorder.lua in a random order is another order, which the seed repeats" {
  local shape=()
  watch reorder.lua order=reverse && cut -d ' ' -f 1 requests >reverse
  watch reorder.lua order=random && cut -d ' ' -f 1 requests >random
  run ! cmp -s reverse random
  watch reorder.lua order=random && cut -d ' ' -f 1 requests | cmp - random
}

@test "bitrot.lua flips one bit of a read, in its range" {
  local shape=()
  watch bitrot.lua rate=100% range=100000..101000 size=256K
  are 'bits == (at >= 0) && (at < 0 || op == "read" && at >= 100000 && at < 101000)'
  awk '$7 >= 0 { wrong++ } END { exit !(wrong > 5) }' requests
  watch bitrot.lua rate=100% size=4M
  are 'bits == (op == "read")'
  are 'result == "ok"'
  watch bitrot.lua rate=20%
  awk '$2 == "read" { all++; bits += $6 }
    END { exit !(bits > all / 10 && bits < all / 3) }' requests
}

@test "the same seed fails the same requests" {
  [ "$(faults --seed 7 rate=5%)" = "$(faults --seed 7 rate=5%)" ]
  [ "$(faults --seed 1 seed=7)" = "$(faults --seed 2 seed=7)" ]
}

@test "another seed fails other requests" {
  [ "$(faults --seed 7 rate=5%)" != "$(faults --seed 8 rate=5%)" ]
  [ "$(faults seed=7)" != "$(faults seed=8)" ]
}

@test "another workload is another workload" {
  workload() { digest --workload "$1" "$examples/ramdisk.lua"; }
  [ "$(workload 1)" = "$(workload 1)" ]
  [ "$(workload 1)" != "$(workload 2)" ]
}

@test "a device of one block is served" {
  sim --requests 1000 "$examples/ramdisk.lua" size=512
  holds '[.ops[].requests] | add == 1000'
}

@test "a device of 8 TiB is served at both ends" {
  echo 'return { size = "8T", backing = require "ublk".null(), read = function(sector)
    if sector > 2 ^ 33 then return "ENODATA" end end }' >large.lua
  sim --requests 5000 large.lua
  holds '.ops.read | .errors > .requests / 4 and .errors < .requests * 3 / 4'
}

@test "a read-only device is not written" {
  echo 'return { size = "1M", read_only = true, backing = require "ublk".mem() }' >ro.lua
  sim --requests 1000 ro.lua
  holds '.ops | has("read") and ([has("write", "discard", "write_zeroes")] | any | not)'
}

@test "large blocks are kept to" {
  echo 'return { size = "16M", block_size = 4096, backing = require "ublk".mem(),
    handler = function(op, sector, length)
      if sector % 8 ~= 0 or length % 4096 ~= 0 then error(op .. " " .. sector) end end }' >4k.lua
  sim --requests 2000 4k.lua
  holds '[.ops[].errors] | add == 0'
}

@test "a script that keeps the data itself is held to it" {
  echo 'local ffi = require "ffi"
    local data = ffi.new("uint8_t[?]", 2 ^ 20)
    return { size = "1M", backing = require("ublk").null(),
      write = function(s, n, buf) ffi.copy(data + s * 512, buf, n) return true end,
      read = function(s, n, buf) ffi.copy(buf, data + s * 512, n) return true end,
      write_zeroes = function(s, n) ffi.fill(data + s * 512, n) return true end }' >own.lua
  sim --requests 5000 own.lua
  holds '.wrong_data == 0'
}

# The check itself: each kind of lie must be seen.

@test "a lost write is seen" {
  echo 'return { size = "1M", backing = require "ublk".mem(),
    write = function() return true end }' >liar.lua
  run -1 "${check[@]}" --expect-clean --requests 1000 liar.lua
  holds '.wrong_data > 0 and (.wrong_sectors | length == 4)'
}

@test "a corrupted read is seen" {
  echo 'return { size = "1M", backing = require "ublk".mem(), read = function(s, n, buf)
    if s > 1000 then buf[n - 1] = 1 return true end end }' >liar.lua
  run -1 "${check[@]}" --expect-clean --requests 1000 liar.lua
}

@test "a failed write that was carried out is seen" {
  echo 'local ffi = require "ffi"
    local data = ffi.new("uint8_t[?]", 2 ^ 20)
    return { size = "1M", backing = require "ublk".mem(),
      write = function(s, n, buf) ffi.copy(data + s * 512, buf, n) return "EIO" end,
      read = function(s, n, buf) ffi.copy(buf, data + s * 512, n) return true end }' >liar.lua
  run -1 "${check[@]}" --expect-clean --requests 1000 liar.lua
}

@test "write zeroes that leave data are seen" {
  echo 'return { size = "1M", backing = require "ublk".mem(),
    write_zeroes = function() return true end }' >liar.lua
  run -1 "${check[@]}" --expect-clean --requests 1000 liar.lua
}

@test "wrong words are a usage error" {
  run --separate-stderr -2 "${check[@]}" "$examples/faulty.lua" rat=1
  [[ $stderr == *'unknown option "rat"'* ]]
  run --separate-stderr -2 "${check[@]}"
  run --separate-stderr -1 "${check[@]}" no-such.lua
}
