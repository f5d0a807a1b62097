#!/usr/bin/env bats
# Devices over a file or block device of the host: what is asked of them reaches it, many at once,
# and what it says reaches the client. The block device is another of ours, which counts and fails.

load lib

setup() { device_setup; }

teardown() {
  mountpoint -q "$BATS_TEST_TMPDIR/mnt" && umount -l "$BATS_TEST_TMPDIR/mnt"
  device_teardown
}

@test "fio verify over a block device, by the page cache and past it" {
  local options
  for options in '' 'direct = true'; do
    start_lower ramdisk.lua size=128M
    over "$options"
    verify --iodepth=64 --size=4M
    verify --iodepth=16 --size=4M --bsrange=512-128k --bs_unaligned=0 --blockalign=512
    end_device
    end_lower
  done
}

@test "fio verify over a file on ext4; the file holds what the device was given" {
  start_lower ramdisk.lua size=256M
  mkfs.ext4 -q "$below"
  mkdir "$BATS_TEST_TMPDIR/mnt"
  mount "$below" "$BATS_TEST_TMPDIR/mnt"
  truncate -s 64M "$BATS_TEST_TMPDIR/mnt/disk.img"
  start_device -e "return { backing = ublk.file '$BATS_TEST_TMPDIR/mnt/disk.img', queues = 4 }"
  verify --iodepth=32 --size=2M --numjobs=2 --offset_increment=32M
  cmp "$device" "$BATS_TEST_TMPDIR/mnt/disk.img"
  blkdiscard -o 1M -l 1M "$device"
  cmp -n 1M -i 1M:0 "$BATS_TEST_TMPDIR/mnt/disk.img" /dev/zero
  end_device
  umount "$BATS_TEST_TMPDIR/mnt"
  fsck.ext4 -fn "$below"
  end_lower
}

@test "a disk is one device's: another over it is refused, until that has ended or was killed" {
  start_lower ramdisk.lua size=64M
  over ''
  run --separate-stderr "$program" -e "return { backing = ublk.file '$below' }" -- true
  [[ $status -eq 1 ]]
  one_line_error "ublk.file(\"$below\"): another device that runs has it"
  kill -KILL "$(server_process)"
  wait_until 20 has_ended "$server"
  over 'direct = true'
  end_device
  end_lower
}

@test "as many requests are on their way below as above" {
  script 'local most, now = ublk.histogram "most", 0
    return { size = "64M", depth = 64, backing = ublk.null(), read = function()
      now = now + 1
      most:record(now)
      ublk.sleep(0.02)
      now = now - 1
    end }'
  start_lower "$script"
  over 'direct = true'
  fio --name=read --filename="$device" --ioengine=io_uring --direct=1 --rw=randread --bs=4k \
    --iodepth=64 --number_ios=1280 --output=/dev/null
  end_device
  end_lower
  holds '.total.histograms.most.max >= 48'
}

@test "an errno of the device below is the client's" {
  script 'return { size = "16M", write = function(sector)
      if sector >= 16384 then return "ENOSPC" end end,
    read = function(sector) if sector >= 16384 then return "ENODATA" end end }'
  start_lower "$script"
  over 'direct = true'
  dd if=/dev/zero of="$device" bs=4k count=4 seek=2040 oflag=direct status=none
  run dd if=/dev/zero of="$device" bs=4k count=1 seek=2048 oflag=direct
  [[ $output == *"No space left"* ]]
  run dd if="$device" of=/dev/null bs=4k count=1 skip=2048 iflag=direct
  [[ $output == *"No data available"* ]]
  end_device
  end_lower
}

@test "flushes, FUA, discards and zeros reach the device below" {
  start_lower ramdisk.lua size=64M
  over 'direct = true'
  dd if=/dev/urandom of="$device" bs=1M count=8 oflag=direct conv=fsync status=none
  blkdiscard -o 0 -l 1M "$device"
  blkdiscard --zeroout -o 2M -l 1M "$device"
  cmp -n 1M "$device" /dev/zero
  cmp -n 1M -i 2M:0 "$device" /dev/zero
  run cmp -n 1M -i 1M:0 "$device" /dev/zero
  [[ $status -eq 1 ]]
  end_device
  end_lower
  holds '.total.ops | .flush.requests >= 1 and .discard.bytes >= 1048576
    and .write_zeroes.bytes >= 1048576'
}

@test "when the device below ends, what waits for it gets an error and nothing hangs" {
  script 'return { size = "16M", write = function() return ublk.hold "all" end }'
  start_lower "$script"
  over 'direct = true'
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none 2>/dev/null &
  local writer=$!
  wait_until 20 in_flight "$below"
  end_lower
  wait_until 20 has_ended "$writer"
  wait "$writer" && return 1
  end_device
}

@test "kill -9 of the supervisor with I/O on its way below: it goes, the one below stays" {
  start_slow_lower
  killed_under_load supervisor_process below_is_busy \
    -e "return { backing = ublk.file('$below', { direct = true }) }"
  dd if="$below" of=/dev/null bs=64k count=1 iflag=direct status=none
  end_lower
}

@test "a handler that reads its backing goes on when the file has answered" {
  start_lower ramdisk.lua size=16M
  dd if=/dev/urandom of="$below" bs=1M count=4 oflag=direct status=none
  start_device --stats "$BATS_TEST_TMPDIR/stats.above" -e "return {
    backing = ublk.file('$below', { direct = true }),
    read = function(_, _, _, req) return req:forward() end }"
  cmp -n 4M "$device" "$below"
  end_device
  jq -e '.total.ops.read | .scripted == .requests and .errors == 0' "$BATS_TEST_TMPDIR/stats.above"
  end_lower
}
