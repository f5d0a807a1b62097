#!/usr/bin/env bats
# Zoned devices: what the kernel sees of their zones, writes and appends to them, and their state
# over a restart.

load lib

setup() { device_setup; }
teardown() {
  umount -l "$BATS_TEST_TMPDIR/mnt" 2>/dev/null || true
  device_teardown
}

# zoned DATA OPTIONS [FIELDS]: start a device of zones of 4 MiB over DATA.
zoned() {
  start_device --stats "$BATS_TEST_TMPDIR/stats" \
    -e "return { ${3:-size = '64M',} backing = ublk.zoned($1, { zone_size = '4M', $2 }) }"
}

# cond ZONE: its condition as blkzone says it, and its write pointer in sectors.
cond() {
  blkzone report -o $((8192 * $1)) -c 1 "$device" |
    sed -E 's/.*wptr 0x([0-9a-f]+).*zcond: ?[0-9]+\((..)\).*/\2 0x\1/'
}

# on VERB ZONE: open, close, finish or reset it.
on() { blkzone "$1" -o $((8192 * $2)) -l 8192 "$device"; }

# put SECTOR KIB [ARG…]: so much to there.
put() {
  dd if=/dev/urandom of="$device" bs="$2k" count=1 seek=$(($1 * 512)) iflag=fullblock \
    oflag=direct,seek_bytes status=none "${@:3}"
}

# zbd ARG…: fio writes as a zoned disk wants it, and reads back.
zbd() { verify --zonemode=zbd --max_open_zones=4 --bs=64k --size=64M --iodepth=8 "$@"; }

@test "the kernel sees the zones and their limits" {
  zoned 'ublk.mem()' 'zone_capacity = "3M", conventional = 2, max_open = 3, max_active = 5,
    max_append = "64K", read_only = { 6 }, offline = { 5, 7 }'
  local queue=/sys/block/${device#/dev/}/queue
  [[ $(<"$queue/zoned") == host-managed && $(<"$queue/chunk_sectors") -eq 8192 ]]
  [[ $(<"$queue/max_open_zones") -eq 3 && $(<"$queue/max_active_zones") -eq 5 ]]
  [[ $(<"$queue/zone_append_max_bytes") -eq 65536 ]]
  blkzone report "$device" >"$BATS_TEST_TMPDIR/zones"
  [[ $(wc -l <"$BATS_TEST_TMPDIR/zones") -eq 16 ]]
  [[ $(grep -c 'cap 0x002000.*(nw) .*CONVENTIONAL' "$BATS_TEST_TMPDIR/zones") -eq 2 ]]
  [[ $(grep -c 'cap 0x001800.*(em) .*SEQ_WRITE_REQUIRED' "$BATS_TEST_TMPDIR/zones") -eq 11 ]]
  [[ $(cond 5) == of* && $(cond 6) == ro* && $(cond 7) == of* ]]
  end_device
}

@test "zones are written, opened, closed, finished and reset by the rules" {
  zoned 'ublk.mem()' 'zone_capacity = "3M", max_open = 2, max_active = 3, read_only = { 6 }'
  put 8192 64
  [[ $(cond 1) == 'oi 0x000080' ]]
  run ! put 8192 4 # not at the write pointer
  run ! put $((8192 + 256)) 4
  run ! put $((6 * 8192)) 4
  [[ $(cond 1) == 'oi 0x000080' ]] # after an error the kernel wants a report before it goes on
  put $((8192 + 128)) 4
  [[ $(cond 1) == 'oi 0x000088' ]]
  [[ $(dd if="$device" bs=4k skip=$((1024 + 17)) count=4 iflag=direct status=none |
    tr -d '\0' | wc -c) -eq 0 ]]
  on open 2
  on close 1
  [[ $(cond 1) == cl* && $(cond 2) == oe* ]]
  on open 3
  run ! on open 1
  [[ $output == *"Too many references"* ]]
  run ! on open 4
  [[ $output == *"Value too large"* ]]
  on finish 3
  [[ $(cond 3) == 'fu 0x002000' ]]
  run ! put $((3 * 8192)) 4
  run ! on reset 6
  on reset 3
  on reset 1
  [[ $(cond 1) == 'em 0x000000' ]]
  put 8192 4
  end_device
  holds '.total.ops | .zone_open.errors == 2 and .zone_reset.requests == 3 and
    .report_zones.requests > 5'
}

@test "fio in zbd mode reads what it wrote, over memory and two queues" {
  zoned 'ublk.mem()' 'conventional = 1, max_open = 4, max_active = 6' "size = '64M', queues = 2,"
  zbd --rw=randwrite
  zbd --rw=write --offset=4M --size=60M
  zbd --rw=randwrite --numjobs=2 --offset_increment=32M --size=32M --max_open_zones=2
  end_device
  holds '.total.ops | .write.errors == 0 and .zone_reset.requests > 0'
}

@test "fio in zbd mode reads what it wrote, in each mode and without batches" {
  truncate -s 64M "$BATS_TEST_TMPDIR/z.img"
  local mode modes="user_copy"
  ! since 6.16 || modes+=" zero_copy auto_buf"
  for mode in $modes; do
    zoned "ublk.file('$BATS_TEST_TMPDIR/z.img')" '' "batch = false, mode = '$mode',"
    zbd --rw=randwrite
    end_device
  done
}

@test "the state is kept over a restart, and what was flushed over a kill" {
  local data="ublk.file('$BATS_TEST_TMPDIR/z.img')"
  local state="state = ublk.file '$BATS_TEST_TMPDIR/z.state'"
  truncate -s 64M "$BATS_TEST_TMPDIR/z.img"
  zoned "$data" "$state" ' '
  zbd --rw=write --size=12M
  on finish 5
  local sum
  sum=$(dd if="$device" bs=1M count=12 iflag=direct status=none | sha256sum)
  end_device
  zoned "$data" "$state" ' '
  [[ $(cond 2) == fu* && $(cond 3) == em* && $(cond 5) == fu* ]]
  [[ $(dd if="$device" bs=1M count=12 iflag=direct status=none | sha256sum) == "$sum" ]]
  put $((3 * 8192)) 64 conv=fsync
  on reset 1
  kill -KILL "$(server_process)"
  wait_until 20 has_ended "$server"
  server=''
  zoned "$data" "$state" ' '
  [[ $(cond 1) == em* && $(cond 3) == 'cl 0x000080' ]]
  end_device
}

@test "btrfs appends to its zones, and finds its files again" {
  modprobe btrfs 2>/dev/null || skip "this kernel has no btrfs"
  command -v mkfs.btrfs >/dev/null || skip "no mkfs.btrfs"
  local state="state = ublk.file '$BATS_TEST_TMPDIR/z.state'"
  truncate -s 512M "$BATS_TEST_TMPDIR/z.img"
  zoned "ublk.file('$BATS_TEST_TMPDIR/z.img')" "$state" 'queues = 2,'
  mkfs.btrfs -q -O zoned -d single -m single "$device"
  mkdir "$BATS_TEST_TMPDIR/mnt"
  mount -t btrfs "$device" "$BATS_TEST_TMPDIR/mnt"
  dd if=/dev/urandom of="$BATS_TEST_TMPDIR/mnt/a" bs=1M count=24 status=none
  cp --reflink=never "$BATS_TEST_TMPDIR/mnt/a" "$BATS_TEST_TMPDIR/mnt/b"
  umount "$BATS_TEST_TMPDIR/mnt"
  end_device
  holds '.total.ops.zone_append | .bytes > 40e6 and .requests > 10 and .errors == 0'
  zoned "ublk.file('$BATS_TEST_TMPDIR/z.img')" "$state" ' '
  mount -t btrfs "$device" "$BATS_TEST_TMPDIR/mnt"
  cmp "$BATS_TEST_TMPDIR/mnt/a" "$BATS_TEST_TMPDIR/mnt/b"
  rm "$BATS_TEST_TMPDIR/mnt/a"
  sync
  umount "$BATS_TEST_TMPDIR/mnt"
  end_device
}

@test "a layer fails requests to zones, and sees where an append is" {
  start_device --stats "$BATS_TEST_TMPDIR/stats" -e 'return { size = "64M",
    backing = ublk.zoned(ublk.mem(), { zone_size = "4M" }),
    layers = { { name = "worn", range = "8M..12M", data = false,
      write = function() return "ENODATA" end, zone_reset = function() return "EIO" end } } }'
  put 8192 64
  run ! put $((2 * 8192)) 64
  [[ $(cond 2) == em* ]]
  run ! on reset 2
  on reset 1
  end_device
  holds '.total.layers.worn.hit == 2 and .total.ops.zone_reset.injected == 1'
}

@test "what a zoned device cannot be is refused in one line" {
  refused() {
    run --separate-stderr "$program" -e \
      "return { size = '64M', $1 backing = ublk.zoned(ublk.mem(), { zone_size = '4M', $2 }) }"
    [[ $status -eq 1 ]]
    one_line_error "${@:3}"
  }
  refused 'mode = "copy",' '' 'mode = "copy": not over ublk.zoned'
  refused 'mode = "get_data",' '' 'mode = "get_data": not over ublk.zoned'
  refused 'chunk = "64K",' '' 'chunk = 65536: over ublk.zoned it is the zone'
  refused '' 'zone_size = "3M"' 'zone_size = "3M": needs a power of two from 64K to 2G'
  refused '' 'offline = { 16 }' 'offline = 16: a number from 0 to 15 is needed'
  refused '' 'max_open = 3, max_active = 2' 'max_open = 3: a number from 0 to 2 is needed'
  refused '' 'max_append = "5M"' 'max_append = 5242880: a multiple of 512'
  run --separate-stderr "$program" -e 'return { size = "63M", backing = ublk.zoned(ublk.mem()) }'
  one_line_error 'ublk.zoned: a size of 66060288 bytes'
}
