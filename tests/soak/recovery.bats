#!/usr/bin/env bats
# Servers that die, again and again, in each way of recovery. ROUNDS says how often: ten times as
# many kills. Part of `make soak`; the short forms are in tests/device/recovery.bats.

load ../device/lib
load ../device/recovery

setup() { device_setup; }
teardown() { recovery_teardown; }

rounds=$((${ROUNDS:-20} * 10))

@test "reissue: fio with verify sees no error, however often servers are killed" {
  killed_under_verify "$rounds" 1
}

# fio goes on after errors; so must the device.
killed_under_errors() {
  start_device --recover "$1" -q 2 ramdisk.lua size=64M
  fio --name=load --filename="$device" --allow_file_create=0 --ioengine=io_uring --direct=1 \
    --rw=randrw --bs=4k --iodepth=16 --size=4M --time_based --runtime=3000 --continue_on_error=all \
    --output="$BATS_TEST_TMPDIR/fio.json" --output-format=json 2>/dev/null 3>&- &
  load=$!
  kill_rounds "$rounds" 1
  kill -INT "$load"
  wait_until 60 has_ended "$load"
  wait "$load" || true
}

@test "requeue: errors for what the dead servers held, and no more" {
  killed_under_errors requeue
  # A server holds 16 at most.
  sed -n '/^{/,$p' "$BATS_TEST_TMPDIR/fio.json" |
    jq -e --argjson most $((rounds * 16)) '[.jobs[].total_err] | add <= $most'
  end_device
}

@test "fail: errors until there is a new server, and none after it" {
  has_fail
  killed_under_errors fail
  dd if=/dev/zero of="$device" bs=4k count=1000 oflag=direct status=none
  end_device
}

@test "scripts that never come back, and scripts that crash: each time a new server" {
  local i what
  for what in 'while true do end' 'require("ffi").cast("int *", 0)[0] = 1'; do
    deadly requeue "$what"
    for ((i = 1; i <= rounds / 4; i++)); do
      run ! read_at_4096
      wait_until 30 recovered "$i"
      dd if="$device" of=/dev/null bs=4k count=1 iflag=direct status=none
      sleep 2 # as old as a server that has worked
    done
    end_device
  done
}
