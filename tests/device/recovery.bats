#!/usr/bin/env bats
# A server that dies, and the next one that takes its device over: what becomes of requests in each
# way of recovery, of data in memory, of the script's numbers, and of a server that keeps dying.

load lib
load recovery

setup() { device_setup; }
teardown() { recovery_teardown; }

@test "reissue: fio with verify sees no error when servers are killed" {
  killed_under_verify 3
}

@test "a script that never comes back is told with its request, and ended by the watchdog" {
  script 'return { size = "8M", watchdog = 1, read = function(sector)
    while sector == 4096 do end
  end }'
  start_device "$script"
  run ! read_at_4096
  wait_until 20 has_ended "$server"
  grep -q 'queue 0: the script does not come back from a read of 4096 bytes at sector 4096' \
    "$server_err"
  grep -q 'queue 0: script.lua does not come back within 1.0 s; ending its server' "$server_err"
  run -1 wait "$server"
  server=''
}

@test "a crash tells the request that it came of" {
  deadly requeue 'require("ffi").cast("int *", 0)[0] = 1'
  run ! read_at_4096
  wait_until 20 recovered 1
  grep -q 'queue 0: signal 11 (Segmentation fault) at a read of 4096 bytes at sector 4096' \
    "$server_err"
  dd if="$device" of=/dev/null bs=4k count=1 iflag=direct status=none
  end_device
}

@test "requeue: the request that a script hangs on fails, and the device goes on" {
  deadly requeue 'while true do end'
  run ! read_at_4096
  wait_until 20 recovered 1
  dd if="$device" of=/dev/null bs=4k count=1 iflag=direct status=none
  end_device
}

@test "reissue: a request that each server dies of ends the device" {
  deadly reissue 'require("ffi").cast("int *", 0)[0] = 1'
  run ! read_at_4096
  wait_until 60 has_ended "$server"
  grep -q '8 servers in turn have died; giving it up' "$server_err"
  run -1 wait "$server"
  server=''
}

# slow_to_come WAY: a device whose first server is there at once, and a later one when there is a
# file go. A read of sector 4096 waits, with the first.
slow_to_come() {
  script "
    local life = ublk.shared { servers = 0 }
    local number = life:add 'servers'
    ublk.counter 'servers':add()
    while number > 1 and not io.open '$BATS_TEST_TMPDIR/go' do end
    return { size = '8M', recover = '$1', read = function(sector)
      if sector == 4096 and number == 1 then ublk.hold 'first' end
    end }"
  start_device --stats "$BATS_TEST_TMPDIR/stats" "$script"
}

read_at() { dd if="$device" of=/dev/null bs=4k skip="$1" count=1 iflag=direct status=none; }

# Does the shell of a background command have a child in D state?
waits_for_io() { [[ $(ps -o stat= --ppid "$1") == D* ]]; }

# held_and_killed: a read that the server holds, in the background as $held; then it is killed.
held_and_killed() {
  read_at 512 3>&- &
  held=$!
  wait_until 10 in_flight "$device"
  kill -KILL "$(server_process)"
  wait_until 10 grep -q 'has lost its server' "$server_err"
}

@test "requeue: what the dead server held fails, what comes then waits for the next one" {
  slow_to_come requeue
  held_and_killed
  run ! wait "$held"
  read_at 2 3>&- &
  local later=$!
  wait_until 10 waits_for_io "$later"
  run ! recovered 1
  touch "$BATS_TEST_TMPDIR/go"
  wait "$later"
  wait_until 10 recovered 1
  end_device
}

@test "reissue: what the dead server held is given to the next one" {
  slow_to_come reissue
  held_and_killed
  touch "$BATS_TEST_TMPDIR/go"
  wait "$held"
  wait_until 10 recovered 1
  end_device
  # Each of the two has counted, and the second knew that it was.
  holds '.total.counters.servers == 2'
}

@test "fail: all fails until there is a new server" {
  has_fail
  slow_to_come fail
  held_and_killed
  run ! wait "$held"
  run ! read_at 2
  touch "$BATS_TEST_TMPDIR/go"
  wait_until 20 recovered 1
  read_at 2
  end_device
}

@test "fail is refused in one line where the driver has it not" {
  ! since 6.13 || skip "this driver has USER_RECOVERY_FAIL_IO"
  run --separate-stderr "$program" --recover fail ramdisk.lua -- true
  [[ $status -eq 1 ]]
  one_line_error 'recover = "fail"' USER_RECOVERY_FAIL_IO 6.13
}

@test "a cow's blocks that nobody has flushed are there with the next server" {
  truncate -s 8M "$BATS_TEST_TMPDIR/base"
  start_device --recover reissue -e "return { backing = ublk.cow(
    ublk.file('$BATS_TEST_TMPDIR/base'), { store = ublk.file '$BATS_TEST_TMPDIR/store' }) }"
  head -c 1M /dev/zero | tr '\0' x >"$BATS_TEST_TMPDIR/data"
  dd if="$BATS_TEST_TMPDIR/data" of="$device" bs=64k oflag=direct seek=3 status=none
  kill_server 1
  cmp -n 1048576 -i 0:196608 "$BATS_TEST_TMPDIR/data" "$device"
  end_device
}

@test "clients of the control socket go on, and are told of the change" {
  start_device --recover requeue ramdisk.lua size=8M
  local id=${device#/dev/ublkb} answer=$BATS_TEST_TMPDIR/answer
  [[ $("$program" info "$id" --json | jq -r '.recover, .servers' | tr '\n' ' ') == "requeue 1 " ]]
  kill -STOP "$(server_process)"
  "$program" eval --timeout 100 "$id" 'return 1' >"$answer" 2>&1 3>&- &
  local asker=$!
  wait_until 10 connected "$id"
  kill_server 1
  run ! wait "$asker"
  grep -q 'its server died, and has been replaced' "$answer"
  [[ $("$program" eval "$id" 'return 6 * 7') == *42* ]]
  "$program" info "$id" --json | jq -e '.servers == 2'
  end_device
}

# Has a client connected to the socket of device ID?
connected() { [[ $(grep -c "/run/ublk-lua/$1.sock" /proc/net/unix) -ge 2 ]]; }

@test "a script that describes another device by then is no new server" {
  script 'local count = (ublk.shared { n = 0 }):add "n"
    return { size = count == 1 and "8M" or "16M", recover = "requeue" }'
  start_device "$script"
  kill -KILL "$(server_process)"
  wait_until 60 has_ended "$server"
  grep -q 'the script describes another device than before' "$server_err"
  run -1 wait "$server"
  server=''
}

@test "after one that hung the next server may be idle for longer than the watchdog's limit" {
  deadly requeue 'while true do end'
  run ! read_at_4096
  wait_until 20 recovered 1
  sleep 3 # nothing is waited for: nothing may happen
  "$program" info "${device#/dev/ublkb}" --json | jq -e '.servers == 2'
  end_device
}

@test "a script that does not load for the next server is tried again" {
  script "
    local number = (ublk.shared { n = 0 }):add 'n'
    if number == 2 or number == 3 then error 'not yet' end
    return { size = '8M', recover = 'requeue' }"
  start_device "$script"
  kill -KILL "$(server_process)"
  wait_until 30 recovered 1
  [[ $(grep -c 'not yet' "$server_err") -eq 2 ]]
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none
  end_device
}

@test "a cow is not recovered over a store that is not the last server's" {
  truncate -s 8M "$BATS_TEST_TMPDIR/base"
  script "
    local number = (ublk.shared { n = 0 }):add 'n'
    return { recover = 'reissue', backing = ublk.cow(ublk.file '$BATS_TEST_TMPDIR/base',
      { store = ublk.file('$BATS_TEST_TMPDIR/store' .. number) }) }"
  start_device "$script"
  dd if=/dev/zero of="$device" bs=64k count=2 oflag=direct status=none
  kill -KILL "$(server_process)"
  wait_until 60 has_ended "$server"
  grep -q 'store2.* is not the store that the last server had' "$server_err"
  run -1 wait "$server"
  server=''
}

@test "SIGTERM while there is no server ends the device" {
  slow_to_come reissue
  held_and_killed
  kill -TERM "$server"
  wait_until 20 has_ended "$server"
  run ! wait "$held"
  server=''
}

@test "of a device whose supervisor was killed too list says that it waits, and stop ends it" {
  start_device --recover requeue ramdisk.lua size=8M
  local id=${device#/dev/ublkb}
  kill -KILL "$server"
  wait_until 10 has_ended "$server"
  server=''
  wait_until 10 list_has "$id" waiting quiesced
  "$program" clean
  list_has "$id" waiting quiesced
  "$program" stop "$id"
  wait_until 10 no_devices
}

list_has() {
  "$program" list --json | jq -e --argjson n "$1" --arg kind "$2" --arg state "$3" \
    'any(.number == $n and .kind == $kind and .state == $state)'
}
