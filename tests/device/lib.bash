# shellcheck shell=bash
# What the device tests share: starting and stopping a server, waiting with a deadline, and the
# checks that nothing is left behind. Loaded by each .bats file here; they run as root in a guest
# of scripts/vm, or on a host that has ublk.

bats_require_minimum_version 1.5.0

top=$(realpath "$BATS_TEST_DIRNAME/../..")
program=${UBLK_LUA_PROGRAM:-$top/build/ublk-lua}
server=''   # process id of the server that start_device started
device=''   # its node
server_err='' # file with what it wrote on stderr
lower='' below='' # the same of a device below that, see start_lower
found_devices='' # the char devices before the test

# wait_until SECONDS COMMAND…: poll until the command succeeds.
wait_until() {
  local deadline=$((SECONDS + $1))
  shift
  until "$@"; do
    if ((SECONDS > deadline)); then
      echo "deadline passed: $*" >&2
      return 1
    fi
    sleep 0.05
  done
}

has_ended() { ! kill -0 "$1" 2>/dev/null; }

node_or_end() { [[ -s $BATS_TEST_TMPDIR/node ]] || has_ended "$server"; }

# start_device ARG…: start the program in the background and wait for its node.
start_device() {
  server_err=$BATS_TEST_TMPDIR/stderr
  : >"$BATS_TEST_TMPDIR/node"
  "$program" "$@" >"$BATS_TEST_TMPDIR/node" 2>"$server_err" 3>&- &
  server=$!
  wait_until 60 node_or_end
  read -r device <"$BATS_TEST_TMPDIR/node" || { cat "$server_err" >&2; return 1; }
  [[ -b $device ]]
}

# end_device [SIGNAL]: signal the server and wait; its exit status is the function's.
end_device() {
  local pid=$server
  server=''
  kill -"${1:-TERM}" "$pid"
  wait_until 30 has_ended "$pid"
  wait "$pid"
}

# start_lower ARG…: as start_device, for a device that is to be the backing of another.
start_lower() {
  start_device --stats "$BATS_TEST_TMPDIR/stats" "$@"
  lower=$server below=$device server=''
}

# A device below on which each request takes up to 20 ms.
start_slow_lower() {
  script 'return { size = "64M", handler = function() ublk.sleep "1ms..20ms" end }'
  start_lower "$script"
}

# end_lower: its counters are then in the test's --stats file.
end_lower() {
  local pid=$lower
  lower=''
  kill -TERM "$pid"
  wait_until 30 has_ended "$pid"
  wait "$pid"
}

# over OPTIONS: start a device whose backing is $below.
over() { start_device -e "return { backing = ublk.file('$below', { $1 }) }"; }

# Has the device NODE requests that were not answered yet?
in_flight() { (($(awk '{ print $1 + $2 }' "/sys/block/${1#/dev/}/inflight") > 0)); }

# script TEXT: write a script for the test, its path in $script.
script() {
  script=$BATS_TEST_TMPDIR/script.lua
  printf 'local ublk = require "ublk"\n%s\n' "$1" >"$script"
}

# Kernel threads (no arguments, so ps shows their name in brackets) do their own short waits.
tasks_in_d_state() { ps -eLo stat=,pid=,args= | awk '$1 ~ /^D/ && $3 !~ /^\[/'; }

nothing_in_d_state() { [[ -z $(tasks_in_d_state) ]]; }

# since VERSION: is this kernel as new? What its driver has is not asked of the program, so that
# the two can be compared.
since() {
  local have want
  IFS=.- read -ra have </proc/sys/kernel/osrelease
  IFS=. read -ra want <<<"$1"
  ((have[0] * 1000 + have[1] >= want[0] * 1000 + want[1]))
}

no_block_devices() { ! compgen -G '/dev/ublkb*' >/dev/null; }

# A server that was killed leaves its /dev/ublkcN, dead, until somebody deletes it: a test counts
# from those that it found.
char_devices() { compgen -G '/dev/ublkc*' || true; }

no_devices() { no_block_devices && [[ $(char_devices) == "$found_devices" ]]; }

kernel_complaints() {
  dmesg | grep -E 'BUG|WARNING|Oops|blocked for more than|hung task|general protection|UBSAN|KASAN' |
    grep -v 'WARNING: .*mitigations' || true
}

# One line on stderr, no more, and it has these words; for use after run --separate-stderr.
one_line_error() {
  local word
  [[ ${#stderr_lines[@]} -eq 1 ]] || { printf 'lines: %s\n' "${stderr_lines[@]}" >&2; return 1; }
  for word in "$@"; do
    [[ $stderr == *"$word"* ]] || { echo "no '$word' in: $stderr" >&2; return 1; }
  done
}

# holds QUERY: true of the test's --stats file.
holds() {
  jq -e "$1" "$BATS_TEST_TMPDIR/stats" >/dev/null && return
  jq -c . "$BATS_TEST_TMPDIR/stats" >&2
  return 1
}

supervisor_process() { echo "$server"; }

# The process with the queues, a child of the one that was started.
server_process() { pgrep -P "$server" -x ublk-lua-server; }

# Does fio.json of the test, where its notes may come first, say that there were no errors?
no_fio_errors() {
  [[ $(sed -n '/^{/,$p' "$BATS_TEST_TMPDIR/fio.json" | jq '[.jobs[].error] | add') == 0 ]]
}

# verify ARG…: fio writes at random and reads back with a checksum for each block.
verify() {
  fio --name=verify --filename="$device" --ioengine=io_uring --direct=1 --rw=randwrite --bs=4k \
    --verify=crc32c --verify_fatal=1 --output="$BATS_TEST_TMPDIR/fio.json" --output-format=json "$@"
  no_fio_errors
}

# start_fio: mixed I/O on the device in the background, its process id in $load.
start_fio() {
  # Without the device fio would make a file of its name in /dev, and be happy with it.
  fio --name=load --filename="$device" --allow_file_create=0 --ioengine=io_uring --direct=1 \
    --rw=randrw --bs=4k --iodepth=32 --size=32M --time_based --runtime=600 \
    --output="$BATS_TEST_TMPDIR/load" --output-format=json 2>/dev/null 3>&- &
  load=$!
}

start_load() {
  start_fio
  wait_until 60 under_load
}

under_load() { (($(awk '{ print $1 + $5 }' "/sys/block/${device#/dev/}/stat") > 500)); }

# Moments for killed_under_load, beside under_load.
busy() { in_flight "$device"; }
below_is_busy() { in_flight "$below"; }

# killed_under_load PROCESS-COMMAND MOMENT-COMMAND ARG…: start a device with these, and fio on it;
# kill -9 the process when the moment has come. All must end, and the node go.
killed_under_load() {
  local node
  start_device "${@:3}"
  node=$device
  start_fio
  wait_until 60 "$2"
  kill -KILL "$("$1")"
  wait_until 30 has_ended "$load"
  wait "$load" && return 1
  wait_until 30 has_ended "$server"
  server=''
  wait_until 20 test ! -e "$node"
  wait_until 20 nothing_in_d_state
}

device_setup() {
  found_devices=$(char_devices)
  [[ $EUID -eq 0 ]] || skip "needs root"
  [[ -c /dev/ublk-control ]] || skip "needs the ublk driver"
  echo 30 >/proc/sys/kernel/hung_task_timeout_secs 2>/dev/null || true
}

# Ends what a failed test left, then checks that a passed one left nothing.
device_teardown() {
  if [[ -n $server ]] && ! has_ended "$server"; then
    kill -KILL "$server"
    wait "$server" || true
  fi
  if [[ -n $lower ]] && ! has_ended "$lower"; then
    kill -KILL "$lower"
    wait "$lower" || true
  fi
  mountpoint -q "$BATS_TEST_TMPDIR/mnt" && umount -l "$BATS_TEST_TMPDIR/mnt"
  [[ -z ${BATS_TEST_COMPLETED:-} ]] && return 0
  wait_until 10 nothing_in_d_state
  wait_until 10 no_block_devices
  [[ -z $(kernel_complaints) ]] || { kernel_complaints >&2; return 1; }
}
