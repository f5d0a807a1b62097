#!/usr/bin/env bats
# Devices over backings that lie over others: stripes, mirrors and copy on write, of files on a file
# system whose I/O takes its time.

load lib
load filesystems

setup() {
  device_setup
  outer='' # another device below that one
}

teardown() {
  umount_all
  [[ -z $outer ]] || kill -KILL "$outer"
  device_teardown
}

@test "fio verify over a stripe of three files, each of which has its share" {
  mount_lower
  truncate -s 16M "$dir"/{a,b,c}.img
  over_files 'queues = 2, backing = ublk.stripe{ ublk.file "DIR/a.img", ublk.file "DIR/b.img",
    ublk.file("DIR/c.img", { direct = true }) }'
  [[ $(blockdev --getsize64 "$device") -eq $((48 << 20)) ]]
  verify --iodepth=32 --size=8M --bsrange=4k-256k --blockalign=4k
  local file
  for file in a b c; do
    cmp -n 65536 -i $((64 * 1024 * (0x$file - 10))):0 "$device" "$dir/$file.img"
    (($(stat -c %b "$dir/$file.img") > 4096))
  done
  blkdiscard "$device"
  (($(stat -c %b "$dir/b.img") < 100))
  end_device
  umount_lower
}

@test "a mirror goes on with the leg that is left when the other is full" {
  mount_lower
  truncate -s 48M "$dir/good.img"
  mount -t tmpfs -o size=8M none "$inner"
  truncate -s 48M "$inner/small.img"
  over_files "backing = ublk.mirror{ ublk.file 'DIR/good.img',
    ublk.file '$inner/small.img' }"
  verify --iodepth=32 --size=16M --bs=16k
  grep -q 'small.img) failed a write: No space left on device; it is left out' "$server_err"
  [[ $(grep -c 'ublk.mirror' "$server_err") -eq 1 ]]
  cmp "$device" "$dir/good.img"
  end_device
  umount_lower
}

@test "a mirror whose leg's device ends under load goes on" {
  mount_lower
  truncate -s 64M "$dir/good.img"
  local disk=$below
  outer=$lower
  start_lower ramdisk.lua size=64M
  over_files "backing = ublk.mirror{ ublk.file('$below', { direct = true }),
    ublk.file 'DIR/good.img' }"
  start_load
  kill -KILL "$(pgrep -P "$lower" -x ublk-lua-server)"
  wait_until 30 grep -q 'failed a write' "$server_err"
  local before
  before=$(awk '{ print $5 }' "/sys/block/${device#/dev/}/stat")
  wait_until 30 more_writes_than "$((before + 100))"
  kill "$load"
  wait "$load" || true
  wait "$lower" || true
  verify --size=4M
  cmp "$device" "$dir/good.img"
  end_device
  lower=$outer below=$disk outer=''
  umount_lower
}

more_writes_than() { (($(awk '{ print $5 }' "/sys/block/${device#/dev/}/stat") > $1)); }

# All of them on both are in tests/soak/filesystems.bats.
@test "ext4 on copy on write: clean, the base as it was, and all there when opened again" {
  survives ext4 cow fill
}

@test "xfs on a file: clean, and all there when opened again" { survives xfs file fill; }

@test "btrfs on copy on write: clean, the base as it was, and all there when opened again" {
  survives btrfs cow fill
}

@test "fio verify over copy on write: from four queues, in blocks that they share" {
  mount_lower
  head -c 32M /dev/urandom >"$dir/base.img"
  over_files 'queues = 4, backing = ublk.cow(ublk.file "DIR/base.img",
    { store = ublk.file "DIR/cow.img" })'
  verify --iodepth=32 --size=16M --numjobs=2 --offset_increment=16M --bsrange=512-16k \
    --blockalign=512 --bs_unaligned=0
  end_device
  umount_lower
}

@test "what was synced to copy on write outlives kill -9 of its server" {
  local node
  mount_lower
  truncate -s 64M "$dir/base.img"
  mkfs.ext4 -q -F "$dir/base.img"
  over_files 'backing = ublk.cow(ublk.file "DIR/base.img", { store = ublk.file "DIR/cow.img" })'
  node=$device
  mount "$device" "$inner"
  fill "$inner"
  sync -f "$inner"
  kill -KILL "$(server_process)"
  wait_until 30 has_ended "$server"
  server='' device=''
  umount -l "$inner"
  wait_until 30 test ! -e "$node"
  over_files 'backing = ublk.cow(ublk.file "DIR/base.img", { store = ublk.file "DIR/cow.img" })'
  mount "$device" "$inner"
  as_filled "$inner"
  umount "$inner"
  fsck.ext4 -fn "$device"
  end_device
  umount_lower
}
