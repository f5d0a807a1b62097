#!/usr/bin/env bats
# Devices over backings that lie over others: stripes, mirrors and copy on write, of files on a file
# system whose I/O takes its time.

load lib

setup() {
  device_setup
  dir=$BATS_TEST_TMPDIR/mnt
  outer='' # another device below that one
}

teardown() {
  umount -l "$BATS_TEST_TMPDIR/top" 2>/dev/null || true
  [[ -z $server ]] || end_device || true
  umount -l "$dir" 2>/dev/null || true
  [[ -z $outer ]] || kill -KILL "$outer"
  device_teardown
}

# A file system on a device of ours, mounted on $dir: its files are not in memory.
mount_lower() {
  start_lower ramdisk.lua size=512M
  mkfs.ext4 -q "$below"
  mkdir "$dir" "$BATS_TEST_TMPDIR/top"
  mount "$below" "$dir"
}

umount_lower() {
  umount "$dir"
  fsck.ext4 -fn "$below"
  end_lower
}

# over_files TEXT: start a device with these fields; in them, DIR is where the files are.
over_files() { start_device -e "return { ${1//DIR/$dir} }"; }

@test "fio verify over a stripe of three files, each of which has its share" {
  mount_lower
  truncate -s 16M "$dir"/{a,b,c}.img
  over_files 'queues = 2, backing = ublk.stripe{ ublk.file "DIR/a.img", ublk.file "DIR/b.img",
    ublk.file("DIR/c.img", { direct = true }) }'
  [[ $(blockdev --getsize64 "$device") -eq $((48 << 20)) ]]
  verify --iodepth=32 --size=16M --bsrange=4k-256k --blockalign=4k
  local file
  for file in a b c; do
    cmp -n 65536 -i $((64 * 1024 * (0x$file - 10))):0 "$device" "$dir/$file.img"
    (($(stat -c %b "$dir/$file.img") > 8192))
  done
  blkdiscard "$device"
  (($(stat -c %b "$dir/b.img") < 100))
  end_device
  umount_lower
}

@test "a mirror goes on with the leg that is left when the other is full" {
  mount_lower
  truncate -s 48M "$dir/good.img"
  mount -t tmpfs -o size=8M none "$BATS_TEST_TMPDIR/top"
  truncate -s 48M "$BATS_TEST_TMPDIR/top/small.img"
  over_files "backing = ublk.mirror{ ublk.file 'DIR/good.img',
    ublk.file '$BATS_TEST_TMPDIR/top/small.img' }"
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

# fill DIRECTORY: some files in a file system, on the disk.
fill() {
  local i
  for i in {1..40}; do
    head -c $((i * 7919)) /dev/urandom >"$1/file$i"
  done
  rm "$1"/file?
  sync "$1/file40"
  (cd "$1" && sha256sum file*) >"$BATS_TEST_TMPDIR/sums"
}

# survives_with SIZE MKFS FSCK: a file system on copy on write over an image that has one already.
survives_with() {
  local before
  mount_lower
  truncate -s "$1" "$dir/base.img"
  $2 "$dir/base.img"
  before=$(sha256sum <"$dir/base.img")
  over_files 'queues = 2,
    backing = ublk.cow(ublk.file "DIR/base.img", { store = ublk.file "DIR/cow.img" })'
  mount "$device" "$BATS_TEST_TMPDIR/top"
  fill "$BATS_TEST_TMPDIR/top"
  umount "$BATS_TEST_TMPDIR/top"
  $3 "$device"
  end_device
  [[ $(sha256sum <"$dir/base.img") == "$before" ]]

  over_files 'backing = ublk.cow(ublk.file "DIR/base.img", { store = ublk.file "DIR/cow.img" })'
  mount "$device" "$BATS_TEST_TMPDIR/top"
  (cd "$BATS_TEST_TMPDIR/top" && sha256sum --quiet -c "$BATS_TEST_TMPDIR/sums")
  umount "$BATS_TEST_TMPDIR/top"
  end_device
  umount_lower
}

@test "ext4 on copy on write: clean, the base as it was, and all there when opened again" {
  survives_with 64M 'mkfs.ext4 -q -F' 'fsck.ext4 -fn'
}

@test "xfs on copy on write: clean, the base as it was, and all there when opened again" {
  modprobe xfs 2>/dev/null || skip "needs xfs"
  survives_with 320M 'mkfs.xfs -q' 'xfs_repair -n'
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
  mount "$device" "$BATS_TEST_TMPDIR/top"
  fill "$BATS_TEST_TMPDIR/top"
  sync -f "$BATS_TEST_TMPDIR/top"
  kill -KILL "$(server_process)"
  wait_until 30 has_ended "$server"
  server='' device=''
  umount -l "$BATS_TEST_TMPDIR/top"
  wait_until 30 test ! -e "$node"
  over_files 'backing = ublk.cow(ublk.file "DIR/base.img", { store = ublk.file "DIR/cow.img" })'
  mount "$device" "$BATS_TEST_TMPDIR/top"
  (cd "$BATS_TEST_TMPDIR/top" && sha256sum --quiet -c "$BATS_TEST_TMPDIR/sums")
  umount "$BATS_TEST_TMPDIR/top"
  fsck.ext4 -fn "$device"
  end_device
  umount_lower
}
