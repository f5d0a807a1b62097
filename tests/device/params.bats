#!/usr/bin/env bats
# The limits of a disk: what a script says of them is what the kernel then shows and keeps to, and
# what its driver does not have is refused.

load lib

setup() {
  device_setup
  stats=$BATS_TEST_TMPDIR/stats
}
teardown() { device_teardown; }

# limits FILE VALUE …: the device's files in /sys, from its queue directory, have these values.
limits() {
  local found
  while (($#)); do
    found=$(<"/sys/block/${device#/dev/}/queue/$1")
    [[ $found == "$2" ]] || { echo "$1: $found, not $2" >&2; return 1; }
    shift 2
  done
}

# refused FIELD TEXT…: the script ends with one line that names the field, and leaves no device.
refused() {
  run --separate-stderr "$program" "$script" -- true
  [[ $status -eq 1 ]]
  one_line_error "script.lua: $1" "this kernel's ublk driver" "${@:2}"
  no_devices
}

write_mib() { dd if=/dev/zero of="$device" bs=1M count=1 oflag=direct status=none; }

@test "the kernel shows each limit as the script says it" {
  script 'return { size = "64M", block_size = 1024, physical_block_size = "4k", io_min = "16k",
    io_opt = "64k", max_io = "32M", depth = 4, chunk = "1M", virt_boundary = "4k",
    rotational = true, max_discard = "128k", max_write_zeroes = "256k",
    discard_granularity = "8k" }'
  start_device "$script"
  limits logical_block_size 1024 physical_block_size 4096 minimum_io_size 16384 \
    optimal_io_size 65536 max_hw_sectors_kb 32768 chunk_sectors 2048 virt_boundary_mask 4095 \
    rotational 1 discard_max_hw_bytes 131072 discard_max_bytes 131072 \
    write_zeroes_max_bytes 262144 discard_granularity 8192 write_cache "write back" fua 1
  end_device
}

@test "what a script does not say is what a plain disk has" {
  start_device ramdisk.lua size=64M
  limits logical_block_size 512 physical_block_size 4096 minimum_io_size 4096 \
    optimal_io_size 4096 max_hw_sectors_kb 512 chunk_sectors 0 virt_boundary_mask 0 rotational 0 \
    discard_max_hw_bytes 1073741824 write_zeroes_max_bytes 1073741824 discard_granularity 4096 \
    dma_alignment 3 max_segments 65535 max_segment_size 4294967295
  end_device
}

@test "blocks of 512 to 4096 bytes: smaller ones are refused by the kernel, theirs come whole" {
  local block
  for block in 512 1024 2048 4096; do
    script "return { size = '1M', block_size = $block, write = function(sector, length)
      if sector ~= $block / 512 or length ~= $block then return 'EIO' end end }"
    start_device "$script"
    limits logical_block_size $block physical_block_size 4096
    dd if=/dev/urandom of="$device" bs=$block seek=1 count=1 oflag=direct status=none
    ! dd if="$device" of=/dev/null bs=$((block / 2)) count=1 iflag=direct status=none || return 1
    end_device
  done
}

@test "segment limits and DMA alignment: the kernel shows them, or the driver lacks them" {
  local segments='max_segments = 4, max_segment_size = "8k", segment_boundary = "64k"'
  if since 6.15; then
    script "return { size = '64M', dma_alignment = 512, $segments }"
    start_device "$script"
    limits dma_alignment 511 max_segments 4 max_segment_size 8192
    end_device
    return
  fi
  script 'return { size = "64M", dma_alignment = 512 }'
  refused dma_alignment 6.15
  script "return { size = '64M', $segments }"
  refused max_segments 6.15
}

@test "segments: no request has more than the limits let through" {
  since 6.15 || skip "needs a driver with segment limits"
  script 'return { size = "64M", max_segments = 1, segment_boundary = "4k",
    write = function(_, length) if length > 4096 then return "EIO" end end }'
  start_device --stats "$stats" "$script"
  write_mib
  end_device
  holds '.total.ops.write | .requests == 256 and .errors == 0'
}

# What the processes of the server have of the pages that are set aside.
huge_kb() { awk '/^HugetlbPages:/ { print $2 }' "/proc/$(server_process)/status"; }

@test "huge pages: of those set aside, and a warning where they do not do" {
  # In mode copy: in others nobody needs the buffers, and pages come with their use.
  script 'return { size = "64M", depth = 16, max_io = "512K", huge_pages = true, mode = "copy" }'
  echo 4 >/proc/sys/vm/nr_hugepages
  start_device "$script"
  verify --iodepth=16 --size=1M
  [[ $(huge_kb) -eq 8192 ]]
  run ! grep -q huge_pages "$server_err"
  end_device
  echo 0 >/proc/sys/vm/nr_hugepages
  start_device "$script"
  verify --iodepth=16 --size=1M
  [[ $(grep -c 'huge_pages: the host has not set aside 4 pages' "$server_err") -eq 1 ]]
  end_device
}

@test "max_io: one request of 32 MiB" {
  script 'return { size = "64M", max_io = "32M", io_opt = "32M", depth = 4 }'
  start_device --stats "$stats" "$script"
  dd if=/dev/zero of="$device" bs=32M count=1 oflag=direct status=none
  end_device
  holds '.total.ops.write | .requests == 1 and .bytes == 33554432'
}

@test "chunk: no request crosses a multiple of it" {
  script 'return { size = "64M", chunk = "96k", write = function(sector, length)
    if sector % 192 + length / 512 > 192 then return "EIO" end end }'
  start_device --stats "$stats" "$script"
  write_mib
  end_device
  holds '.total.ops.write | .requests == 11 and .errors == 0'
}

@test "discard and write zeroes come in pieces of their limits, or not at all" {
  script 'return { size = "64M", max_discard = "64k", max_write_zeroes = "256k" }'
  start_device --stats "$stats" "$script"
  blkdiscard -l 1M "$device"
  blkdiscard -z -l 1M "$device"
  end_device
  holds '.total.ops | .discard.requests == 16 and .write_zeroes.requests == 4'
  script 'return { size = "64M", max_discard = 0, max_write_zeroes = 0 }'
  start_device --stats "$stats" "$script"
  limits discard_max_hw_bytes 0 write_zeroes_max_bytes 0 discard_granularity 0
  ! blkdiscard -l 1M "$device" || return 1
  blkdiscard -z -l 1M "$device" # the kernel writes zeros itself then
  end_device
  holds '.total.ops | .discard == null and .write_zeroes == null and .write.bytes == 1048576'
}

# Not by /sys/block/*/discard_alignment, which on 6.12 shows something else.
@test "discards are cut where the pieces begin that they free" {
  script 'return { size = "64M", max_discard = "64k", discard_granularity = "8k",
    discard_alignment = "4k", discard = function(sector, length)
      local limit = sector + length / 512
      if limit ~= 2048 and limit % 16 ~= 8 then return "EIO" end end }'
  start_device --stats "$stats" "$script"
  blkdiscard -l 1M "$device"
  end_device
  holds '.total.ops.discard | .requests == 17 and .errors == 0'
}

# synced FIELDS QUERY: what came of eight writes that are each to be on the medium.
synced() {
  script "local fua = ublk.counter 'fua'
    return { size = '64M', $1, write = function(_, _, _, req)
      if bit.band(req.flags, ublk.flags.FUA) ~= 0 then fua:add() end end }"
  start_device --stats "$stats" "$script"
  dd if=/dev/zero of="$device" bs=4k count=8 oflag=direct,dsync status=none
  end_device
  holds ".total | .ops.write.requests == 8 and .counters.fua as \$fua |
    (.ops.flush.requests // 0) as \$flush | $2"
}

@test "flushes and FUA writes come as the device says it has a cache" {
  synced 'volatile_cache = true, fua = true' '$fua == 8 and $flush > 0'
  synced 'volatile_cache = true, fua = false' '$fua == 0 and $flush >= 8'
  synced 'volatile_cache = false, fua = true' '$fua == 0 and $flush == 0'
  synced 'volatile_cache = false, fua = false' '$fua == 0 and $flush == 0'
}

@test "partition_scan: partitions are there at once, or when asked for" {
  local image=$BATS_TEST_TMPDIR/disk.img
  truncate -s 16M "$image"
  echo 2048 | sfdisk -q "$image"
  script "return { backing = ublk.file '$image' }"
  start_device "$script"
  wait_until 10 test -e "/sys/block/${device#/dev/}/${device#/dev/}p1"
  end_device
  script "return { backing = ublk.file '$image', partition_scan = false }"
  if ! since 7.0; then
    refused partition_scan NO_AUTO_PART_SCAN 7.0
    return
  fi
  start_device --stats "$stats" "$script"
  [[ ! -e /sys/block/${device#/dev/}/${device#/dev/}p1 ]]
  end_device
  holds '.total.ops.read == null'
  start_device "$script"
  blockdev --rereadpt "$device"
  wait_until 10 test -e "/sys/block/${device#/dev/}/${device#/dev/}p1"
  end_device
}
