#!/usr/bin/env bats
# The verbs on real devices, by their JSON, and the control socket: who may use
# it, when it is there, and what is left when things end badly.

load lib

setup() { device_setup; }
teardown() {
  device_teardown
  [[ -z ${BATS_TEST_COMPLETED:-} ]] || { wait_until 10 no_devices && no_sockets; }
}

no_sockets() { ! compgen -G '/run/ublk-lua/*' >/dev/null; }

id() { echo "${device#/dev/ublkb}"; }

socket() { echo "/run/ublk-lua/$(id).sock"; }

# talk PATH: stdin goes to the socket there, and what it answers until its end to stdout.
talk() {
  timeout 20 perl -MIO::Socket::UNIX -e '
    $SIG{PIPE} = "IGNORE";
    my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!\n";
    while (sysread STDIN, my $part, 65536) { defined syswrite $s, $part or last }
    $s->shutdown(1);
    print while <$s>' "$1"
}

# ask REQUEST: the answer to one line at the socket of $device.
ask() { echo "$1" | talk "$(socket)"; }

# kind ID: what list says of it, by its JSON.
kind() { "$program" list --json | jq -r ".[] | select(.number == $1) | .kind"; }

is_kind() { [[ $(kind "$1") == "$2" ]]; }

# start_second ARG…: another device beside $device, in $second.
start_second() {
  local first=$server first_device=$device
  start_device "$@"
  second=$device lower=$server
  server=$first device=$first_device
}

@test "list, info and stats tell of a device in each way to write it" {
  start_device --seed 7 faulty.lua size=64M rate=100%
  run -0 "$program" list --json
  [[ $(jq -r '.[] | [.device, .kind, .state, .size] | @csv' <<<"$output") == \
    "\"$device\",\"running\",\"live\",67108864" ]]
  for name in "$(id)" "ublkb$(id)" "$device"; do
    run -0 --separate-stderr "$program" info --json "$name"
    [[ $(jq -c '[.device, .seed, .size, .queues, .args]' <<<"$output") == \
      "[\"$device\",7,67108864,1,[\"size=64M\",\"rate=100%\"]]" ]]
    [[ $(jq .supervisor <<<"$output") == "$server" ]]
    [[ $(cat "/proc/$(jq .server <<<"$output")/comm") == ublk-lua-server ]]
  done
  run dd if=/dev/zero of="$device" bs=4k count=3 oflag=direct
  [[ $status -ne 0 ]]
  run -0 "$program" stats "$device"
  [[ $(jq '.total.ops.write.injected' <<<"$output") -ge 1 ]]
  [[ $(jq -r .device <<<"$output") == "$device" ]]
  end_device
}

@test "stop ends the device, when it has gone" {
  start_device ramdisk.lua
  run -0 "$program" stop --json "$device"
  [[ $(jq -c '.[0].stopped' <<<"$output") == true ]]
  [[ ! -e $device && ! -e $(socket) ]]
  wait_until 5 has_ended "$server"
  wait "$server"
  server=''
  no_devices
}

@test "stop --if-unused leaves a device that is mounted" {
  start_device ramdisk.lua size=64M
  mkfs.ext4 -q "$device"
  mkdir "$BATS_TEST_TMPDIR/mnt"
  mount "$device" "$BATS_TEST_TMPDIR/mnt"
  run -1 --separate-stderr "$program" stop --if-unused "$(id)"
  one_line_error "$device is in use"
  touch "$BATS_TEST_TMPDIR/mnt/file"
  umount "$BATS_TEST_TMPDIR/mnt"
  run -0 "$program" stop --if-unused "$(id)"
  wait_until 5 has_ended "$server"
  server=''
}

@test "stop --all ends all, one that holds requests too" {
  start_device ramdisk.lua
  script 'return { size = "1M", write = function() ublk.hold "on" end }'
  start_second "$script"
  dd if=/dev/zero of="$second" bs=4k count=1 oflag=direct 2>/dev/null 3>&- &
  wait_until 10 in_flight "$second"
  run -0 "$program" stop --all
  [[ ${#lines[@]} -eq 2 ]]
  wait_until 5 has_ended "$server"
  wait_until 5 has_ended "$lower"
  server='' lower=''
}

@test "a captive command is ended by stop" {
  "$program" ramdisk.lua -- sh -c 'echo $DEV >"$0"; exec sleep 100' "$BATS_TEST_TMPDIR/dev" 3>&- &
  server=$!
  wait_until 30 test -s "$BATS_TEST_TMPDIR/dev"
  run -0 "$program" stop "$(cat "$BATS_TEST_TMPDIR/dev")"
  status=0
  wait "$server" || status=$?
  server=''
  [[ $status -eq 143 ]]
}

@test "an orphan is listed as that, and clean and stop remove it" {
  local way number
  for way in "clean" "stop --json ID"; do
    start_device ramdisk.lua
    number=$(id)
    kill -KILL "$server"
    wait_until 10 has_ended "$server"
    wait_until 10 is_kind "$number" orphan
    [[ -e $(socket) ]]
    run -1 --separate-stderr "$program" info "$number"
    one_line_error "its supervisor was killed" clean
    start_device ramdisk.lua # another, which must live on
    # shellcheck disable=SC2086 # words
    run -0 "$program" ${way/ID/$number}
    [[ $(kind "$number") == "" ]]
    is_kind "$(id)" running
    end_device
  done
}

@test "the next device of a number replaces the socket of a killed one" {
  start_device -n 5 ramdisk.lua
  kill -KILL "$server"
  wait_until 10 has_ended "$server"
  wait_until 10 is_kind 5 orphan
  "$program" stop 5
  perl -MIO::Socket::UNIX -e 'IO::Socket::UNIX->new(Local => "/run/ublk-lua/5.sock", Listen => 1)'
  is_kind 5 socket
  start_device -n 5 ramdisk.lua
  is_kind 5 running
  end_device
}

@test "a device of another program is listed, and left alone" {
  start_device ramdisk.lua
  rm "$(socket)" # as another program has none
  is_kind "$(id)" other
  run -0 "$program" clean
  [[ $output == "" ]]
  run -1 --separate-stderr "$program" stop "$(id)"
  one_line_error "is not ublk-lua's" "process"
  [[ -b $device ]]
  end_device
}

@test "the socket goes with each way of ending" {
  for signal in TERM INT HUP QUIT; do
    start_device ramdisk.lua
    [[ $(stat -c %a%U "$(socket)") == 600root ]]
    end_device "$signal"
    no_sockets
  done
  start_device ramdisk.lua
  kill -KILL "$(server_process)"
  wait_until 10 has_ended "$server"
  server=''
  no_sockets
  run "$program" ramdisk.lua -- true
  no_sockets
}

@test "the socket answers lines of JSON from any program" {
  start_device ramdisk.lua size=1M
  [[ $(ask '{"cmd":"info","id":[1]}' | jq -c '[.ok, .id, .size]') == '[true,[1],1048576]' ]]
  [[ $(ask '{"cmd":"frob"}' | jq -r .error) == 'unknown command "frob"; there are '* ]]
  [[ $(ask 'garbage' | jq .ok) == false ]]
  [[ $(head -c 10000000 /dev/zero | tr '\0' x | talk "$(socket)" |
    jq -r .error) == "a line of more than"* ]]
  printf '{"cmd":"in' | talk "$(socket)"
  chmod 666 "$(socket)"
  export -f talk
  run -0 setpriv --reuid=65534 --clear-groups bash -c "talk '$(socket)'" <<<'{"cmd":"info"}'
  [[ $(jq -r .error <<<"$output") == "root or the owner of the device only" ]]
  is_kind "$(id)" running
  end_device
}

@test "eval looks into a running script and changes it, on the queues that are named" {
  script 'local count, verdict = 0, nil
    local function bump() count = count + 1 end
    return { size = "16M", queues = 2, write = function() bump() return verdict end }'
  start_device "$script"
  run -0 "$program" eval "$device" '"a", 1.5, { ublk.queue, true }'
  [[ $output == $'a\n1.5\n[0,true]' ]]
  run -0 "$program" eval --json --queue all "$(id)" 'ublk.queue'
  [[ $(jq -c '[.[].values[0]]' <<<"$output") == "[0,1]" ]]
  dd if=/dev/zero of="$device" bs=4k count=4 oflag=direct status=none
  run -0 "$program" eval --json --queue all "$device" count
  [[ $(jq '[.[].values[0]] | add' <<<"$output") -eq 4 ]]
  "$program" eval --queue all "$device" 'verdict = "ENOSPC"'
  run ! dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct
  [[ $output == *"No space left on device"* ]]
  run -1 --separate-stderr "$program" eval "$device" 'x ='
  one_line_error "eval:1: unexpected symbol"
  run -1 --separate-stderr "$program" eval "$device" 'ublk.sleep(1)'
  one_line_error "ublk.sleep: only in a handler or a task"
  run -1 --separate-stderr "$program" eval "$device" 'while true do end'
  one_line_error "has run for 2 s"
  run -1 --separate-stderr "$program" eval --queue 7 "$device" '1'
  one_line_error 'a number from 0 to 1, or "all"'
  end_device
}

@test "set changes a live option of a device, and refuses as the command line does" {
  start_device faulty.lua size=16M rate=0
  dd if=/dev/zero of="$device" bs=4k count=8 oflag=direct status=none
  run -0 "$program" set --json "$device" rate=100%
  [[ $(jq -c '[.[].options.rate]' <<<"$output") == "[1]" ]]
  run ! dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct
  run -1 --separate-stderr "$program" set "$device" rate=7
  one_line_error "rate=7: needs a share from 0 to 1"
  run -1 --separate-stderr "$program" set "$device" size=1G
  one_line_error "size: cannot be changed while the device runs"
  end_device
}

@test "hold lists what waits, release lets it go with a verdict, mark reaches the script" {
  script 'local marks = {}
    return { size = "16M", write = function() return ublk.hold "gate" end,
      mark = function(text) marks[#marks + 1] = text end, read = function() return marks[9] end }'
  start_device "$script"
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct 2>"$BATS_TEST_TMPDIR/dd" 3>&- &
  wait_until 10 in_flight "$device"
  held() { [[ $("$program" hold --json "$device" | jq -c '.[0].holds') == "$1" ]]; }
  wait_until 10 held '[{"count":1,"kind":"hold","name":"gate"}]'
  run -0 "$program" release --json "$device" gate ENOSPC
  [[ $(jq '.[0].released' <<<"$output") -eq 1 ]]
  wait "$!" && return 1
  grep -q "No space left" "$BATS_TEST_TMPDIR/dd"
  held '[]'
  "$program" mark "$device" "before the crash"
  [[ $("$program" eval "$device" 'marks[1]') == "before the crash" ]]
  grep -q "$device: mark: before the crash" "$server_err"
  end_device
}

@test "a script that hangs is told of, and the device can be stopped all the same" {
  script 'return { size = "16M", write = function() while true do end end }'
  start_device "$script"
  dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct 2>/dev/null 3>&- &
  wait_until 10 in_flight "$device"
  run -1 --separate-stderr "$program" eval --timeout 1 "$device" '1'
  one_line_error "queue 0 has not answered for 1." "hangs"
  [[ $("$program" stats "$device" | jq -r .device) == "$device" ]]
  run -1 --separate-stderr "$program" stop "$device"
  [[ ! -e $device ]]
  wait_until 10 has_ended "$server"
  server=''
}

@test "stats --watch draws frames, and --prometheus has what it counts" {
  start_device faulty.lua size=16M rate=0
  dd if=/dev/zero of="$device" bs=4k count=8 oflag=direct status=none
  run -0 "$program" stats --watch --count 2 "$device"
  [[ $output == *"$device  faulty.lua  up "*"in flight 0   held 0"* ]]
  [[ $output == *$'\nwrite '* ]]
  run -0 "$program" stats --prometheus "$device"
  [[ $output == *"ublk_lua_requests_total{device=\"$device\",op=\"write\"} 8"* ]]
  [[ $output == *"ublk_lua_latency_seconds_count{device=\"$device\",op=\"write\"} 8"* ]]
  end_device
}

@test "attach takes lines from a pipe, a piece of Lua over several of them too" {
  script 'local counted = 41
    return { size = "16M", write = function() counted = counted + 1 end }'
  start_device "$script"
  run -0 "$program" attach "$device" <<<$'counted + 1\nx =\n5\nx\nerror "no"'
  [[ $output == $'42\n5\neval:1: no' ]]
  end_device
}
