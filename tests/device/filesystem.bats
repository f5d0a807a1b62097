#!/usr/bin/env bats
# File systems and verified data on a healthy device: what is written is what is read.

load lib

setup() { device_setup; }
teardown() { device_teardown; }

@test "ext4 over ramdisk.lua: mkfs, mount, copy, compare, fsck" {
  start_device ramdisk.lua size=512M
  mkfs.ext4 -q "$device"
  mkdir "$BATS_TEST_TMPDIR/mnt"
  mount "$device" "$BATS_TEST_TMPDIR/mnt"
  cp -r "$top/core" "$top/lua" "$BATS_TEST_TMPDIR/mnt"
  umount "$BATS_TEST_TMPDIR/mnt"
  blockdev --flushbufs "$device" # what comes now comes from the device
  mount "$device" "$BATS_TEST_TMPDIR/mnt"
  diff -r "$top/core" "$BATS_TEST_TMPDIR/mnt/core"
  diff -r "$top/lua" "$BATS_TEST_TMPDIR/mnt/lua"
  umount "$BATS_TEST_TMPDIR/mnt"
  fsck.ext4 -fn "$device"
  end_device
}

@test "xfs over ramdisk.lua with 4096-byte blocks" {
  modprobe xfs 2>/dev/null || skip "needs xfs"
  script 'return { size = "512M", backing = ublk.mem(), block_size = 4096 }'
  start_device "$script"
  mkfs.xfs -q "$device"
  mkdir "$BATS_TEST_TMPDIR/mnt"
  mount "$device" "$BATS_TEST_TMPDIR/mnt"
  cp -r "$top/core" "$BATS_TEST_TMPDIR/mnt"
  diff -r "$top/core" "$BATS_TEST_TMPDIR/mnt/core"
  umount "$BATS_TEST_TMPDIR/mnt"
  xfs_repair -n "$device"
  end_device
}

@test "fio verify, depth 64, one queue" {
  start_device ramdisk.lua size=256M
  verify --iodepth=64 --size=8M
  end_device
}

@test "fio verify with a handler on every request" {
  script 'return { size = "256M", backing = ublk.mem(), handler = function() end }'
  start_device --stats "$BATS_TEST_TMPDIR/stats" "$script"
  verify --iodepth=64 --size=4M
  end_device
  holds '.total.ops.write | .requests == .scripted'
}

@test "four queues of depth 32, fio verify on all CPUs: each queue serves its own requests" {
  [[ $(nproc) -ge 4 ]] || skip "needs 4 CPUs"
  start_device -q 4 -d 32 --stats "$BATS_TEST_TMPDIR/stats" ramdisk.lua size=256M
  verify --iodepth=64 --numjobs=4 --cpus_allowed=0-3 --cpus_allowed_policy=split --size=2M \
    --offset_increment=16M
  end_device
  holds '.queues | length == 4'
  # With the descriptors of one queue read for another, neither the data nor these would be right.
  holds '[.queues[].ops.write.requests > 100] | all'
  holds '.total.ops.write.requests >= 2048'
}

@test "a backing file holds what was written to the device" {
  truncate -s 64M "$BATS_TEST_TMPDIR/disk"
  start_device faulty.lua file="$BATS_TEST_TMPDIR/disk" rate=0
  [[ $(blockdev --getsize64 "$device") -eq $((64 << 20)) ]]
  head -c 8M /dev/urandom >"$BATS_TEST_TMPDIR/data"
  dd if="$BATS_TEST_TMPDIR/data" of="$device" bs=1M oflag=direct status=none
  blkdiscard -o 4M -l 1M "$device"
  end_device
  cmp -n $((4 << 20)) "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/disk"
  cmp -n $((1 << 20)) -i $((4 << 20)):0 "$BATS_TEST_TMPDIR/disk" /dev/zero
  cmp -n $((3 << 20)) -i $((5 << 20)) "$BATS_TEST_TMPDIR/data" "$BATS_TEST_TMPDIR/disk"
}

@test "a block device as backing: verified data, discard and zeroes reach it" {
  modprobe loop
  truncate -s 128M "$BATS_TEST_TMPDIR/disk"
  local loop
  loop=$(losetup -f --show "$BATS_TEST_TMPDIR/disk")
  start_device faulty.lua file="$loop" rate=0
  verify --iodepth=32 --size=2M
  blkdiscard "$device"
  blkdiscard -z -o 1M -l 1M "$device"
  end_device
  losetup -d "$loop"
  cmp -n $((128 << 20)) "$BATS_TEST_TMPDIR/disk" /dev/zero
}

@test "a partition table is found at start, while START_DEV still runs" {
  truncate -s 64M "$BATS_TEST_TMPDIR/disk"
  echo '2048,8192' | sfdisk -q "$BATS_TEST_TMPDIR/disk"
  start_device faulty.lua file="$BATS_TEST_TMPDIR/disk" rate=0
  wait_until 10 test -b "${device}p1"
  [[ $(blockdev --getsz "${device}p1") -eq 8192 ]]
  end_device
}
