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

@test "each example loads and answers every request once" {
  for script in "$examples"/*.lua; do
    sim --requests 5000 "$script"
    holds '[.ops[].requests] | add == 5000'
    holds '.sim_faults == 0 and .wrong_results == 0 and .wrong_data == 0'
  done
}

@test "each example does so whatever the batch and the depth" {
  for script in "$examples"/*.lua; do
    for shape in "--batch 1 -d 1" "--batch 3 -d 7" "--batch 128 -d 128" "--batch 1 -d 512"; do
      read -ra words <<<"$shape"
      sim --requests 1000 "${words[@]}" "$script"
      holds '[.ops[].requests] | add == 1000'
    done
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
