#!/usr/bin/env bats
# Devices whose requests and answers go in batches (UBLK_F_BATCH_IO). Where the driver has none,
# they are refused; where it has, all other tests use them too, if they do not say otherwise.

load lib

setup() {
  device_setup
  stats=$BATS_TEST_TMPDIR/stats
}

teardown() { device_teardown; }

has_batches() { since 7.0 || skip "needs a driver with BATCH_IO"; }

in_batches() { grep -q 'uses: .*BATCH_IO' "$server_err"; }

# start FIELDS: a device with these, in batches.
start() {
  script "return { size = '64M', batch = true, $1 }"
  start_device -v --stats "$stats" "$script"
  in_batches
}

random_reads() {
  fio --name=read --filename="$device" --ioengine=io_uring --direct=1 --rw=randread --bs=4k \
    --output="$BATS_TEST_TMPDIR/fio.json" --output-format=json "$@"
  no_fio_errors
}

@test "batch = true is refused in one line where the driver has none" {
  ! since 7.0 || skip "this driver has BATCH_IO"
  script 'return { size = "1M", batch = true }'
  run --separate-stderr "$program" "$script" -- true
  [[ $status -eq 1 ]]
  one_line_error "script.lua: batch = true: this kernel's ublk driver" "BATCH_IO" "7.0"
  no_devices
  start_device -v -e '{ size = "1M" }'
  run ! in_batches
  end_device
}

@test "batches are used when nothing is said, and not with batch = false" {
  has_batches
  start_device -v -e '{ size = "1M" }'
  in_batches
  end_device
  start_device -v -e '{ size = "1M", batch = false }'
  run ! in_batches
  end_device
}

@test "a single tag makes no batch" {
  has_batches
  start_device -v -e '{ size = "1M", depth = 1 }'
  run ! in_batches
  end_device
  run --separate-stderr "$program" -e '{ size = "1M", depth = 1, batch = true }' -- true
  [[ $status -eq 1 ]]
  one_line_error "batch = true: with depth = 1"
}

@test "null, with as many requests as a queue can have" {
  has_batches
  local depth
  for depth in 2 128 1024; do
    start "depth = $depth, backing = ublk.null()"
    random_reads --iodepth="$depth" --number_ios=2000
    end_device
    holds '.total.ops.read | .bytes >= 2000 * 4096 and .errors == 0'
  done
}

@test "fio verify through a handler that waits" {
  has_batches
  start 'handler = function(_, sector, _, _, req)
    ublk.sleep(sector % 24 / 1e4)
    return req:forward() end'
  verify --iodepth=32 --size=1M
  end_device
  holds '.total.ops | .write.errors == 0 and .read.errors == 0'
}

# More than one completion can bring; but the block layer gives out 256, and one is for the write.
@test "two hundred requests that wait are let go and answered at once" {
  has_batches
  start 'depth = 512, partition_scan = false, read = function() return ublk.wait "all" end,
    write = function() ublk.signal("all", 512) end'
  fio --name=read --filename="$device" --ioengine=io_uring --direct=1 --rw=randread --bs=4k \
    --iodepth=200 --number_ios=200 --output=/dev/null 3>&- &
  local reader=$!
  wait_until 30 waiting 150
  timeout 20 dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none
  wait_until 30 has_ended "$reader"
  wait "$reader"
  end_device
  holds '.total.ops.read | .bytes >= 200 * 4096 and .errors == 0'
}

waiting() { (($(awk '{ print $1 }' "/sys/block/${device#/dev/}/inflight") >= $1)); }

@test "stopping with requests that are held: soon, and the client gets EIO" {
  has_batches
  start 'write = function() return ublk.hold "for ever" end'
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct 2>/dev/null 3>&- &
  local writer=$! begin=$SECONDS
  wait_until 20 in_flight "$device"
  end_device
  ((SECONDS - begin < 8))
  wait "$writer" && return 1
  run ! grep -qE 'still in flight|killing|does not end' "$server_err"
  holds '.total.ops.write | .requests == 1 and .errors == 1'
}

@test "kill -9 of the server while it holds requests: all goes" {
  has_batches
  script 'return { size = "64M", batch = true, write = function() return ublk.hold "for ever" end }'
  killed_under_load server_process busy "$script"
  no_devices
}

@test "five devices, one after the other" {
  has_batches
  for _ in {1..5}; do
    "$program" -e '{ size = "1M", batch = true, queues = 2 }' -- \
      sh -c 'dd if=$DEV of=/dev/null bs=4k count=4 iflag=direct status=none'
  done
  no_devices
}
