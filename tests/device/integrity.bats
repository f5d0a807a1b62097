#!/usr/bin/env bats
# Metadata beside the data: the kernel makes guard tags of what is written and checks those of what
# is read; what it is told of them it shows; and where the driver has none a device with them is
# refused.

load lib

setup() {
  device_setup
  stats=$BATS_TEST_TMPDIR/stats
}
teardown() { device_teardown; }

needs_integrity() { since 7.0 || skip "needs a driver with metadata"; }

# shows FILE VALUE …: the device's files in /sys/block/…/integrity.
shows() {
  local found
  while (($#)); do
    found=$(<"/sys/block/${device#/dev/}/integrity/$1")
    [[ $found == "$2" ]] || { echo "$1: $found, not $2" >&2; return 1; }
    shift 2
  done
}

# fill BYTES: what is no zeros, from the device's beginning.
fill() {
  tr '\0' x </dev/zero |
    dd of="$device" bs="$1" count=1 iflag=fullblock oflag=direct status=none
}

# wrong SIZE COUNT: which of the first COUNT blocks of SIZE bytes give a protection error, each read
# by itself. Another error is the test's.
wrong() {
  local block
  for ((block = 0; block < $2; block++)); do
    dd if="$device" of=/dev/null bs="$1" skip=$block count=1 iflag=direct status=none \
      2>"$BATS_TEST_TMPDIR/dd" && continue
    grep -q 'Invalid or incomplete multibyte' "$BATS_TEST_TMPDIR/dd" || {
      cat "$BATS_TEST_TMPDIR/dd" >&2
      return 1
    }
    echo $block
  done
}

# A device that counts requests without metadata: all of its have some.
counting() {
  script "local none = ublk.counter 'none'
    return { size = '64M', $1, data = false, handler = function(op, _, length, _, req)
      local metadata, size = req:metadata()
      if op ~= 'read' and op ~= 'write' then return end
      if not metadata or size ~= length / ${2:-512} * ${3:-8} then none:add() end end }"
}

# refused SCRIPT TEXT…: it ends with one line that names the field, and leaves no device.
refused() {
  run --separate-stderr "$program" -e "$1" -- true
  [[ $status -eq 1 ]]
  one_line_error "-e: " "${@:2}"
  no_devices
}

@test "a driver without metadata: one line says so" {
  since 7.0 && skip "this one has it"
  refused '{ size = "1M", integrity = {} }' "integrity: this kernel's ublk driver" 7.0
}

@test "metadata beyond its limits, or in a mode that does not move it, is refused in one line" {
  needs_integrity
  local field
  for field in metadata_size=4 metadata_size=256 interval=256 interval=4096 pi_offset=1 tag_size=9 \
    max_segments=65536; do
    refused "{ size = '1M', integrity = { $field } }" "integrity.${field/=/ = }: "
  done
  refused '{ size = "1M", integrity = { csum = "none", metadata_size = 8, ref_tag = true } }' \
    "integrity.ref_tag = true: "
  refused '{ size = "1M", integrity = {}, mode = "copy" }' 'mode = "copy": integrity needs'
  refused '{ size = "1M", integrity = {}, mode = "get_data" }' 'mode = "get_data": integrity'
}

@test "the kernel shows the metadata as the script says it" {
  needs_integrity
  start_device -e '{ size = "1M", integrity = {} }'
  shows format T10-DIF-TYPE1-CRC protection_interval_bytes 512 tag_size 0 \
    device_is_integrity_capable 1 read_verify 1 write_generate 1
  end_device
  start_device -e '{ size = "1M", block_size = 4096,
    integrity = { csum = "ip", ref_tag = false, tag_size = 6, metadata_size = 16, pi_offset = 8 } }'
  shows format T10-DIF-TYPE3-IP protection_interval_bytes 4096 tag_size 6
  end_device
  start_device -e '{ size = "1M", block_size = 4096,
    integrity = { csum = "crc64", interval = 1024, max_segments = 4 } }'
  shows format EXT-DIF-TYPE1-CRC64 protection_interval_bytes 1024
  [[ $(<"/sys/block/${device#/dev/}/queue/max_integrity_segments") -eq 4 ]]
  end_device
  start_device -e '{ size = "1M", integrity = { csum = "none", metadata_size = 255 } }'
  shows format nop protection_interval_bytes 512
  end_device
}

@test "what was written is read back and checked, blocks of 512 and of 4096 bytes" {
  needs_integrity
  counting 'integrity = {}'
  start_device --stats "$stats" "$script"
  verify --iodepth=16 --bs=512-64k --size=4M
  end_device
  holds '.total | .counters.none == 0 and .ops.write.requests > 50'
  counting 'block_size = 4096, integrity = { csum = "crc64" }' 4096 16
  start_device --stats "$stats" "$script"
  verify --iodepth=16 --bs=4k-64k --size=4M
  end_device
  holds '.total | .counters.none == 0 and .ops.write.requests > 50'
}

@test "over a file, in each mode, one by one and in batches, on several queues" {
  needs_integrity
  local image=$BATS_TEST_TMPDIR/disk.img how
  truncate -s 64M "$image"
  for how in 'mode = "user_copy"' 'mode = "zero_copy", batch = false' 'mode = "auto_buf"' \
    'batch = false, queues = 2, backing = ublk.mem "64M"' \
    'backing = ublk.stripe{ ublk.mem "32M", ublk.mem "32M" }'; do
    start_device -e "{ backing = ublk.file '$image', integrity = {}, $how }"
    verify --iodepth=16 --bs=512-64k --size=2M
    end_device
  done
}

@test "a flipped guard tag is a protection error at its block and nowhere else" {
  needs_integrity
  start_device --stats "$stats" badguard.lua size=1M range=3K+512
  fill 8K
  [[ $(wrong 512 16) == 6 ]]
  [[ $(wrong 4096 2) == 0 ]]
  ! dd if="$device" of=/dev/null bs=8K count=1 iflag=direct status=none || return 1
  end_device
  holds '.total.counters["flipped guards"] >= 3'
  start_device badguard.lua size=1M block=4K range=8K..16K
  fill 32K
  [[ $(wrong 4096 8 | xargs) == "2 3" ]]
  end_device
}

@test "a guard tag that was spoilt as it was written stays wrong until it is written again" {
  needs_integrity
  script 'local spoilt
    return { size = "1M", integrity = {}, data = false, write = function(sector, _, _, req)
      if spoilt then return end
      spoilt = true
      local metadata = req:metadata()
      metadata[3 * 8 + 1] = bit.bxor(metadata[3 * 8 + 1], 0x80) end }'
  start_device "$script"
  fill 8K
  [[ $(wrong 512 16) == 3 ]]
  echo 0 >"/sys/block/${device#/dev/}/integrity/read_verify"
  [[ $(wrong 512 16) == "" ]]
  echo 1 >"/sys/block/${device#/dev/}/integrity/read_verify"
  [[ $(wrong 512 16) == 3 ]]
  fill 8K
  [[ $(wrong 512 16) == "" ]]
  end_device
}

@test "data that changes below is a protection error" {
  needs_integrity
  local image=$BATS_TEST_TMPDIR/disk.img
  truncate -s 1M "$image"
  start_device -e "{ backing = ublk.file '$image', integrity = {} }"
  fill 8K
  [[ $(wrong 512 16) == "" ]]
  printf y | dd of="$image" bs=1 seek=$((5 * 512 + 100)) conv=notrunc status=none
  [[ $(wrong 512 16) == 5 ]]
  end_device
}

@test "what is discarded, set to zeros, or written without metadata has nothing to check" {
  needs_integrity
  start_device -e '{ size = "1M", integrity = {} }'
  [[ $(wrong 512 4) == "" ]] # never written
  fill 16K
  blkdiscard -o 4096 -l 4096 "$device"
  blkdiscard -z -o 8192 -l 4096 "$device"
  echo 0 | tee "/sys/block/${device#/dev/}/integrity/"{read_verify,write_generate} >/dev/null
  printf '%4096s' '' | dd of="$device" bs=4096 oflag=direct iflag=fullblock status=none
  echo 1 | tee "/sys/block/${device#/dev/}/integrity/"{read_verify,write_generate} >/dev/null
  [[ $(wrong 4096 4) == "" ]]
  dd if="$device" bs=16K count=1 iflag=direct status=none |
    cmp - <(printf '%4096s' '' && head -c 8192 /dev/zero && head -c 4096 /dev/zero | tr '\0' x)
  end_device
}

@test "metadata that nobody checks, 255 bytes for 512, in one request of 32 MiB" {
  needs_integrity
  counting 'max_io = "32M", io_opt = "32M", depth = 2,
    integrity = { csum = "none", metadata_size = 255 }' 512 255
  start_device --stats "$stats" "$script"
  fill 32M
  dd if="$device" bs=32M count=1 iflag=direct status=none | tr -d x | wc -c | grep -qx 0
  end_device
  holds '.total | .counters.none == 0 and .ops.write.bytes == 33554432'
}
