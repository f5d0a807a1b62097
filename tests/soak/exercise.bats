#!/usr/bin/env bats
# Random operations, and fio verify, on devices over each kind of backing × each data mode × one
# queue or four × in batches or not. ROUNDS says how many hundred operations each combination
# has. Part of `make soak`; the short form is in tests/device/modes.bats.

load ../device/lib
load ../device/exercise

setup() { device_setup; }

teardown() {
  mountpoint -q "$BATS_TEST_TMPDIR/mnt" && umount -l "$BATS_TEST_TMPDIR/mnt"
  device_teardown
}

rounds=${ROUNDS:-20}

both() {
  exercise $((rounds * 100))
  mixed_sizes
}

# all_of BACKING: each combination that has it.
all_of() {
  local mode queues batch
  for mode in "${modes[@]}"; do
    for queues in 1 4; do
      for batch in true false; do
        combine "$1" "$mode" "$queues" "$batch" both
      done
    done
  done
}

over_backing() {
  exercise_setup
  all_of "$1"
  end_lower
}

@test "memory" { over_backing mem; }

@test "a file on tmpfs" { over_backing tmpfs; }

@test "a block device, by O_DIRECT" { over_backing disk; }

@test "a block device, by the page cache" { over_backing cached; }

@test "a stripe" { over_backing stripe; }

@test "a mirror" { over_backing mirror; }

@test "copy on write" { over_backing cow; }

@test "copy on write of a mirror, whose store is a stripe" { over_backing nested; }

# on_ext4 BACKING: the same over a file on ext4.
on_ext4() {
  start_lower ramdisk.lua size=64M
  mkfs.ext4 -q "$below"
  mkdir "$BATS_TEST_TMPDIR/mnt"
  mount "$below" "$BATS_TEST_TMPDIR/mnt"
  dir=$BATS_TEST_TMPDIR/mnt
  truncate -s 8M "$dir/whole.img"
  all_of "$1"
  umount "$dir"
  fsck.ext4 -fn "$below"
  end_lower
}

@test "a file on ext4, by the page cache" { on_ext4 file; }

@test "a file on ext4, by O_DIRECT" { on_ext4 direct; }
