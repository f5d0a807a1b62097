#!/usr/bin/env bats
# A server that dies, and the next one that takes its device over: what becomes of requests in each
# way of recovery, of data in memory, of the script's numbers, and of a server that keeps dying.

load lib

setup() { device_setup; }
teardown() {
  [[ -z ${load:-} ]] || has_ended "$load" || kill -KILL "$load"
  device_teardown
}

has_fail() { since 6.13 || skip "needs a driver with USER_RECOVERY_FAIL_IO"; }

recovered() { [[ $(grep -c 'recovered with a new server' "$server_err") -ge $1 ]]; }

# kill_server COUNT: kill -9 the server and wait until the device has its COUNT-th new one.
kill_server() {
  kill -KILL "$(server_process)"
  wait_until 30 recovered "$1"
}

@test "reissue: fio with verify sees no error when servers are killed" {
  start_device --recover reissue -q 2 ramdisk.lua size=64M
  fio --name=verify --filename="$device" --allow_file_create=0 --ioengine=io_uring --direct=1 \
    --rw=randwrite --bs=4k --iodepth=16 --size=16M --verify=crc32c --verify_fatal=1 --time_based \
    --runtime=8 --output="$BATS_TEST_TMPDIR/fio.json" --output-format=json 3>&- &
  load=$!
  wait_until 60 under_load
  local round
  for round in 1 2 3; do
    kill_server "$round"
    has_ended "$load" && break
  done
  wait "$load"
  [[ $(jq '[.jobs[].error] | add' "$BATS_TEST_TMPDIR/fio.json") -eq 0 ]]
  end_device
}
