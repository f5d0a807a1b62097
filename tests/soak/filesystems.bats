#!/usr/bin/env bats
# ext4, xfs and btrfs on a file and on copy on write: made, filled until there is no room,
# unmounted, checked, and the same again after another start of the device. Part of `make soak`;
# the short form is in tests/device/backings.bats.

load ../device/lib
load ../device/filesystems

setup() { device_setup; }

teardown() {
  umount_all
  device_teardown
}

@test "ext4 on a file" { survives ext4 file fill_up; }

@test "ext4 on copy on write" { survives ext4 cow fill_up; }

@test "xfs on a file" { survives xfs file fill_up; }

@test "xfs on copy on write" { survives xfs cow fill_up; }

@test "btrfs on a file" { survives btrfs file fill_up; }

@test "btrfs on copy on write" { survives btrfs cow fill_up; }
