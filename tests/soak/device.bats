#!/usr/bin/env bats
# Long rounds on real devices: kills at random moments, starts and stops by the hundred. ROUNDS
# says how many. Part of `make soak`; the short forms are in tests/device/lifecycle.bats.

load ../device/lib

setup() { device_setup; }
teardown() { device_teardown; }

rounds=${ROUNDS:-20}

random_moment() { sleep "0.$((RANDOM % 900 + 100))"; } # it is the point, nothing is waited for

random_kill() { killed_under_load "$1" random_moment ramdisk.lua size=64M; }

@test "kill -9 of the server at random moments: all removed" {
  local i
  for ((i = 0; i < rounds; i++)); do
    random_kill server_process
    no_devices
  done
}

@test "kill -9 of the supervisor at random moments: nothing in D, the node goes" {
  local i
  for ((i = 0; i < rounds; i++)); do random_kill supervisor_process; done
}

@test "kill -9 of a server with I/O on its way to a device below: all removed" {
  local i
  start_slow_lower
  for ((i = 0; i < rounds; i++)); do
    killed_under_load server_process random_moment \
      -e "return { backing = ublk.file('$below', { direct = true }) }"
  done
  end_lower
  no_devices
}

@test "kill -9 while the device starts" {
  local i
  for ((i = 0; i < rounds; i++)); do
    "$program" -q 2 ramdisk.lua >/dev/null 2>&1 3>&- &
    server=$!
    sleep "0.$(printf %03d $((RANDOM % 400)))"
    kill -KILL "$server"
    wait_until 20 has_ended "$server"
    wait_until 20 no_block_devices
    wait_until 20 nothing_in_d_state
  done
}

@test "SIGTERM while the device starts: removed, whatever it was doing" {
  local i
  for ((i = 0; i < rounds; i++)); do
    "$program" -q 2 ramdisk.lua >/dev/null 2>&1 3>&- &
    server=$!
    sleep "0.$(printf %03d $((RANDOM % 400)))"
    end_device TERM || true # killed by it, when the signal came before it was blocked
    wait_until 20 no_devices
  done
}

@test "start and stop, eight at once" {
  local i n pids
  for ((i = 0; i < rounds; i++)); do
    pids=()
    for n in 0 1 2 3 4 5 6 7; do
      "$program" ramdisk.lua size=64M -- dd if=/dev/zero of=/dev/null count=1 status=none \
        >/dev/null 2>&1 3>&- &
      pids+=($!)
    done
    for n in "${pids[@]}"; do wait "$n"; done
    no_devices
  done
}

@test "a hung script stopped, again and again" {
  script 'return { size = "64M", backing = ublk.mem(), write = function() while true do end end }'
  local i writer
  for ((i = 0; i < rounds / 10 + 1; i++)); do
    start_device "$script"
    dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct 2>/dev/null 3>&- &
    writer=$!
    sleep 0.3
    end_device TERM && return 1
    wait_until 20 has_ended "$writer"
    no_devices
  done
}
