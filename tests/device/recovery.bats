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

# A device on which each read of sector 8 has the script do something that its server dies of.
deadly() { # WAY LUA
  script "return { size = '8M', recover = '$1', watchdog = 1, read = function(sector)
    if sector == 8 then $2 end
  end }"
  start_device "$script"
}

read_at_8() { dd if="$device" of=/dev/null bs=4k skip=1 count=1 iflag=direct status=none; }

@test "a script that never comes back is told with its request, and ended by the watchdog" {
  script 'return { size = "8M", watchdog = 1, read = function(sector)
    while sector == 8 do end
  end }'
  start_device "$script"
  run ! read_at_8
  wait_until 20 has_ended "$server"
  grep -q 'queue 0: the script does not come back from a read of 4096 bytes at sector 8' "$server_err"
  grep -q 'queue 0: script.lua does not come back within 1.0 s; ending its server' "$server_err"
  run -1 wait "$server"
  server=''
}

@test "a crash tells the request that it came of" {
  deadly requeue 'require("ffi").cast("int *", 0)[0] = 1'
  run ! read_at_8
  wait_until 20 recovered 1
  grep -q 'queue 0: signal 11 (Segmentation fault) at a read of 4096 bytes at sector 8' "$server_err"
  dd if="$device" of=/dev/null bs=4k count=1 iflag=direct status=none
  end_device
}

@test "requeue: the request that a script hangs on fails, and the device goes on" {
  deadly requeue 'while true do end'
  run ! read_at_8
  wait_until 20 recovered 1
  dd if="$device" of=/dev/null bs=4k count=1 iflag=direct status=none
  end_device
}

@test "reissue: a request that each server dies of ends the device" {
  deadly reissue 'require("ffi").cast("int *", 0)[0] = 1'
  run ! read_at_8
  wait_until 60 has_ended "$server"
  grep -q '8 servers in turn have died; giving it up' "$server_err"
  run -1 wait "$server"
  server=''
}
