#!/usr/bin/env bats
# Start and end of a device: signals, captive commands, bad starts. Nothing is ever left behind.

load lib

setup() { device_setup; }
teardown() {
  device_teardown
  [[ -z ${BATS_TEST_COMPLETED:-} || -n ${orphan_expected:-} ]] || wait_until 10 no_devices
}

# The supervisor's stop waits in a kernel thread of its own (io-wq).
stop_in_flight() { ps -L -o comm= -p "$server" | grep -q iou-wrk; }

in_flight() { [[ $(awk '{ print $2 }' "/sys/block/${device#/dev/}/inflight") -gt 0 ]]; }


@test "stdout has the node and nothing else; SIGTERM and SIGINT remove the device" {
  local signal
  for signal in TERM INT HUP; do
    start_device ramdisk.lua
    [[ $(cat "$BATS_TEST_TMPDIR/node") == "$device" ]]
    end_device "$signal"
    [[ ! -e $device ]]
    no_devices
  done
}

@test "SIGTERM under load: the device goes, fio gets errors and ends" {
  start_device ramdisk.lua size=64M
  start_load
  end_device
  wait_until 20 has_ended "$load"
  wait "$load" && return 1
  run ! grep -qE 'refuses|killing|does not end' "$server_err"
}

# A device as the one that was killed.
starts_again() {
  start_device ramdisk.lua size=64M
  dd if=/dev/zero of="$device" bs=1M count=4 oflag=direct status=none
  end_device
}

@test "kill -9 of all under load: fio gets errors, nothing in D, the node goes, a new one starts" {
  killed_under_load supervisor_process under_load ramdisk.lua size=64M
  starts_again
  orphan_expected=1 # the dead server's /dev/ublkcN
}

@test "kill -9 of the server under load: the supervisor removes the device" {
  killed_under_load server_process under_load ramdisk.lua size=64M
  starts_again
  no_devices
}

@test "captive command: the node in DEV, its status passed on, the device removed" {
  run --separate-stderr "$program" run ramdisk.lua size=64M -- \
    sh -c 'test -b "$DEV" && blockdev --getsize64 "$DEV"; exit 7'
  [[ $status -eq 7 && $output == $((64 << 20)) ]]
  run "$program" ramdisk.lua -- true
  [[ $status -eq 0 ]]
  run "$program" ramdisk.lua -- sh -c 'kill -KILL $$'
  [[ $status -eq 137 ]]
  run -127 --separate-stderr "$program" ramdisk.lua -- no-such-command
  [[ $stderr == *"no-such-command: No such file"* ]]
  no_devices
}

@test "a signal to the server ends the captive command first" {
  local command='trap "exit 3" TERM; echo $DEV >"$0"; while :; do sleep 0.1; done'
  "$program" ramdisk.lua -- sh -c "$command" "$BATS_TEST_TMPDIR/started" 3>&- &
  server=$!
  wait_until 30 test -s "$BATS_TEST_TMPDIR/started"
  status=0
  end_device || status=$?
  [[ $status -eq 3 ]]
}

@test "a captive command that leaves the device open and mounted" {
  run "$program" ramdisk.lua size=64M -- sh -c "mkfs.ext4 -q \$DEV && mkdir $BATS_TEST_TMPDIR/mnt &&
    mount \$DEV $BATS_TEST_TMPDIR/mnt && touch $BATS_TEST_TMPDIR/mnt/file"
  [[ $status -eq 0 ]]
  umount "$BATS_TEST_TMPDIR/mnt"
}

@test "a chosen number, and one that is in use" {
  start_device -n 7 ramdisk.lua
  [[ $device == /dev/ublkb7 ]]
  run --separate-stderr "$program" -n 7 ramdisk.lua
  [[ $status -eq 1 ]]
  one_line_error "device number 7 is in use"
  end_device
}

@test "Ctrl-Z and Ctrl-\\: the device goes on, and is removed" {
  start_device ramdisk.lua size=64M
  # What a terminal does, to the process group; bats gives a background command none of its own.
  kill -TSTP "$server"
  run -0 timeout 20 dd if="$device" of=/dev/null bs=4k count=8 iflag=direct
  [[ $(ps -o pgid= -p "$(server_process)") -ne $(ps -o pgid= -p "$server") ]]
  kill -CONT "$server"
  end_device QUIT
  no_devices
}

@test "started with SIGCHLD ignored, a captive command's end is seen" {
  run -5 perl -e '$SIG{CHLD} = "IGNORE"; exec @ARGV' "$program" ramdisk.lua -- sh -c 'exit 5'
}

@test "started with stdin, stdout and stderr closed" {
  run -6 sh -c '"$0" ramdisk.lua -- sh -c "exit 6" <&- >&- 2>&-' "$program"
}

@test "a child that was there before does not end the start" {
  script 'ublk.random() local t = os.clock() while os.clock() - t < 0.5 do end
    return { size = "64M" }'
  run -4 sh -c 'sleep 0.2 & exec "$0" "$1" -- sh -c "exit 4"' "$program" "$script"
}

@test "a reader of stderr that does not read holds up nobody" {
  mkfifo "$BATS_TEST_TMPDIR/pipe"
  exec 7<>"$BATS_TEST_TMPDIR/pipe" # open, and never read
  script 'return { size = "64M", write = function(sector)
    for i = 1, 50 do print(("x"):rep(3000)) end end }'
  "$program" "$script" >"$BATS_TEST_TMPDIR/node" 2>"$BATS_TEST_TMPDIR/pipe" 3>&- &
  server=$!
  wait_until 30 test -s "$BATS_TEST_TMPDIR/node"
  read -r device <"$BATS_TEST_TMPDIR/node"
  run -0 timeout 30 dd if=/dev/zero of="$device" bs=4k count=4 oflag=direct
  end_device
  exec 7>&-
}

@test "what a script has started goes with its server" {
  script 'return { size = "64M", write = function() os.execute("sleep 777 &") end }'
  start_device "$script"
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct status=none
  pgrep -f '^sleep 777'
  end_device
  run pgrep -f '^sleep 777'
  [[ $status -ne 0 ]]
}

@test "the last process of a mount namespace, with a file system on its own device" {
  mkdir "$BATS_TEST_TMPDIR/mnt"
  local i
  for i in 1 2 3; do
    unshare -m --propagation private -- "$program" ramdisk.lua size=64M -- sh -c "
      mkfs.ext4 -q \$DEV; mount \$DEV $BATS_TEST_TMPDIR/mnt
      dd if=/dev/zero of=$BATS_TEST_TMPDIR/mnt/file bs=1M count=5 status=none &&
        touch $BATS_TEST_TMPDIR/mounted-$i
      kill -9 \$PPID" 2>/dev/null 3>&- &
    server=$!
    wait_until 60 has_ended "$server"
    [[ -e $BATS_TEST_TMPDIR/mounted-$i ]]
    wait_until 20 no_block_devices
    wait_until 20 nothing_in_d_state
  done
  server=''
  orphan_expected=1
}

@test "eight devices at once" {
  local i pids=() nodes
  for i in 0 1 2 3 4 5 6 7; do
    "$program" ramdisk.lua size=64M >"$BATS_TEST_TMPDIR/node$i" 2>/dev/null 3>&- &
    pids+=($!)
  done
  for i in 0 1 2 3 4 5 6 7; do wait_until 60 test -s "$BATS_TEST_TMPDIR/node$i"; done
  nodes=$(cat "$BATS_TEST_TMPDIR"/node? | sort -u | wc -l)
  kill -TERM "${pids[@]}"
  wait "${pids[@]}"
  [[ $nodes -eq 8 ]]
}

@test "bad starts: one line, the right status, no device" {
  script 'return { size = }'
  run --separate-stderr "$program" "$script"
  [[ $status -eq 1 ]]
  one_line_error "script.lua:2:" "unexpected symbol"

  run --separate-stderr "$program" "$BATS_TEST_TMPDIR/missing.lua"
  [[ $status -eq 1 ]]
  one_line_error "missing.lua" "No such file"

  run --separate-stderr "$program" faulty.lua file=/no/such/file
  [[ $status -eq 1 ]]
  one_line_error "/no/such/file" "No such file"

  run --separate-stderr "$program" faulty.lua rte=1%
  [[ $status -eq 2 ]]
  one_line_error 'unknown option "rte"' "rate"

  script 'error "at load"'
  run --separate-stderr "$program" "$script"
  [[ $status -eq 1 ]]
  one_line_error "script.lua:2: at load"

  script 'return { size = "1M", block_size = 513 }'
  run --separate-stderr "$program" "$script"
  [[ $status -eq 1 ]]
  one_line_error "block_size = 513"
  no_devices
}

@test "a script that fails to load for the second queue only" {
  # The first state creates the file, so only it finds none.
  script "local f = io.open('$BATS_TEST_TMPDIR/once')
    if f then error 'second time' end
    io.open('$BATS_TEST_TMPDIR/once', 'w'):close()
    return { size = '64M', queues = 2 }"
  run --separate-stderr "$program" "$script"
  [[ $status -eq 1 ]]
  one_line_error "second time"
  no_devices
}

@test "not root: one line" {
  # The tree may lie in somebody's home, which others cannot read.
  local dir
  dir=$(mktemp -d /tmp/ublk-lua.XXXXXX)
  chmod 755 "$dir"
  install -m 755 "$program" "$top/examples/ramdisk.lua" "$dir"
  cd "$dir"
  run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups \
    ./ublk-lua ramdisk.lua
  [[ $status -eq 1 ]]
  one_line_error "/dev/ublk-control" "run as root"
}

@test "io_uring forbidden: one line that names the sysctl" {
  [[ -e /proc/sys/kernel/io_uring_disabled ]] || skip "needs kernel.io_uring_disabled (6.6)"
  echo 2 >/proc/sys/kernel/io_uring_disabled
  run --separate-stderr "$program" ramdisk.lua
  echo 0 >/proc/sys/kernel/io_uring_disabled
  [[ $status -eq 1 ]]
  one_line_error "kernel.io_uring_disabled"
}

@test "no ublk module: one line that says how to load it" {
  modprobe -r ublk_drv || skip "the driver is built in or in use"
  run --separate-stderr "$program" ramdisk.lua
  modprobe ublk_drv
  # shellcheck disable=SC2034 # for the teardown: the dead ones went with the module
  found_devices=''
  [[ $status -eq 1 ]]
  one_line_error "modprobe ublk_drv"
}

@test "a signal while START_DEV waits for slow reads ends it cleanly" {
  # Before 6.19 the partition scan runs inside START_DEV: 0.3 s for each of its reads.
  script 'local ffi = require "ffi"
    ffi.cdef "int usleep(unsigned)"
    return { size = "64M", backing = ublk.mem(), read = function() ffi.C.usleep(300000) end }'
  "$program" "$script" >"$BATS_TEST_TMPDIR/node" 2>&1 3>&- &
  server=$!
  wait_until 20 test -e /sys/class/ublk-char/ublkc0
  end_device INT
}

@test "a handler that never returns: a signal still ends the program, with a message" {
  script 'return { size = "64M", backing = ublk.mem(), write = function() while true do end end }'
  start_device "$script"
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct 3>&- 2>/dev/null &
  local writer=$!
  wait_until 10 in_flight
  status=0
  end_device TERM || status=$?
  [[ $status -eq 1 ]]
  grep -q 'holds a request and does not return' "$server_err"
  wait_until 20 has_ended "$writer"
  no_devices
}

@test "a handler that never returns, and kill -9 while the device is being stopped" {
  script 'return { size = "64M", backing = ublk.mem(), write = function() while true do end end }'
  start_device "$script"
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct 3>&- 2>/dev/null &
  local writer=$!
  wait_until 10 in_flight
  kill -TERM "$server"
  wait_until 10 stop_in_flight
  kill -KILL "$(server_process)"
  wait_until 20 has_ended "$server"
  wait_until 20 has_ended "$writer"
  server=''
  no_devices
}

@test "a script that crashes the process: the device goes, the message names the signal" {
  script 'local ffi = require "ffi"
    return { size = "64M", backing = ublk.mem(),
      write = function() ffi.cast("int *", 8)[0] = 1 end }'
  start_device "$script"
  run dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct
  [[ $status -ne 0 ]]
  wait_until 20 has_ended "$server"
  status=0
  wait "$server" || status=$?
  server=''
  [[ $status -eq 1 ]]
  grep -q 'ended by signal 11 (Segmentation fault)' "$server_err"
  no_devices
}
