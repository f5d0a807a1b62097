#!/usr/bin/env bats
# Every command of the cookbook and of the README's terminal scene, run as they stand.

load lib

setup() {
  device_setup
  cd "$BATS_TEST_TMPDIR" || return
  mkdir bin
  ln -s "$program" bin/ublk-lua
  printf '#!/bin/sh\nexec "$@"\n' >bin/sudo # we are root
  chmod +x bin/sudo
  PATH=$BATS_TEST_TMPDIR/bin:$PATH
}

teardown() {
  mountpoint -q /mnt && umount /mnt
  device_teardown
}

# recipe WORDS: the shell block that follows the line with these words, run.
recipe() {
  awk -v words="$1" 'index($0, words) { found = 1 } found && /^```$/ { exit }
    inside { print } found && /^```sh$/ { inside = 1 }' "$top/examples/README.md" >recipe
  [[ -s recipe ]]
  run bash recipe
}

@test "cookbook: one write in twenty" {
  recipe "one write in twenty"
  echo "$output" >&2
  [[ $output == *"Input/output error"* || $output == *"Read-only file system"* ]]
  [[ $(awk '$1 == "write" { print $6 }' <<<"$output") -gt 0 ]] # the counters: injected
}

@test "cookbook: a lying flush is told by fsync" {
  recipe "what fsync says"
  [[ $status -eq 1 && $output == *"fsync failed"*"Input/output error"* ]]
}

@test "cookbook: a flipped bit in each of a hundred reads" {
  recipe "notice a flipped bit"
  echo "$output" >&2
  [ "$status" -eq 0 ]
  grep -qx 100 <<<"$output"
  [ "$(awk '/^flipped bits/ { print $NF }' <<<"$output")" -ge 100 ] # partitions are looked for, too
}

@test "cookbook: a guard tag that does not fit" {
  since 7.0 || skip "needs a driver with metadata"
  recipe "guard tags show that"
  echo "$output" >&2
  [[ $status -eq 1 && $output == *"Invalid or incomplete multibyte"*"8+0 records out"* ]]
  dmesg | grep -q 'guard tag error at sector 8 '
}

@test "cookbook: a disk that hangs for five seconds" {
  recipe "when the disk hangs"
  echo "$output" >&2
  [[ $status -eq 124 && $output == *"1 requests go on"* ]]
  grep -qE '^real [5-9]\.' <<<"$output"
}

@test "cookbook: a hundred reads in two seconds" {
  recipe "timeout for a slow disk"
  echo "$output" >&2
  [ "$status" -eq 0 ]
  grep -qE '^real [2-9]\.' <<<"$output" # a guest may be slow, a disk that sleeps is not fast
}

@test "cookbook: writes in another order" {
  recipe "rely on an order"
  echo "$output" >&2
  [ "$status" -eq 0 ]
  grep -qE 'turns +[0-9]+$' <<<"$output"
}

@test "the README's terminal scene" {
  sed -n '/^\$ cat every-tenth.lua/,/^\$ sudo/p' "$top/README.md" | sed '1d;$d' >every-tenth.lua
  sed -n 's/^\$ \(sudo ublk-lua every-tenth.lua.*\)/\1/p' "$top/README.md" >scene
  run bash scene
  [[ $status -eq 1 && $output == *"dd: error writing '/dev/ublkb0': Input/output error"* ]]
  [[ $output == *"10+0 records in"*"9+0 records out"* ]]
}
