#!/usr/bin/env bats
# What the kernel must see of the program: the order of its commands, its threads, its memory.

load lib

setup() { device_setup; }
teardown() { device_teardown; }

tracing=/sys/kernel/tracing

thread_of_queue() {
  local comm
  for comm in "/proc/$(server_process)/task"/*/comm; do
    [[ $(<"$comm") == "queue/$1" ]] && basename "$(dirname "$comm")" && return
  done
  return 1
}

@test "each queue's thread runs where the kernel sends its requests from" {
  start_device -q 2 ramdisk.lua
  local q task allowed wanted
  for q in 0 1; do
    task=$(thread_of_queue $q)
    # One way to write a set of CPUs (0-1 here, "0, 1" there) for both.
    allowed=$(awk '/^Cpus_allowed_list/ { print $2 }' "/proc/$(server_process)/task/$task/status" |
      tr ',' '\n' | awk -F- '{ for (c = $1; c <= $NF; c++) printf "%d ", c }')
    wanted=$(tr -d ',' <"/sys/block/${device#/dev/}/mq/$q/cpu_list")
    [[ ${allowed% } == "$wanted" ]]
  done
  end_device
}

@test "queue threads are I/O flushers" {
  start_device ramdisk.lua
  local flags
  # PF_MEMALLOC_NOIO and PF_LOCAL_THROTTLE (include/linux/sched.h), the ninth field of stat.
  flags=$(sed 's/.*) //' "/proc/$(server_process)/task/$(thread_of_queue 0)/stat" |
    awk '{ print $7 }')
  ((flags & 0x00080000 && flags & 0x00100000))
  end_device
}

# KiB that the device of 1 TiB holds: its mapping alone, without the I/O buffers, of which more or
# fewer are in use.
held() {
  awk '$1 == "Size:" { device = $2 == 1073741824 } device && $1 == "Rss:" { print $2 }' \
    "/proc/$(server_process)/smaps"
}

@test "a device of 1 TiB costs what is written to it, and discard gives it back" {
  start_device ramdisk.lua size=1T
  local before
  before=$(held)
  ((before < 1024))
  dd if=/dev/urandom of="$device" bs=1M count=64 seek=500000 oflag=direct status=none
  (($(held) - before == 65536))
  blkdiscard -o $((500000 << 20)) -l $((64 << 20)) "$device"
  (($(held) == before))
  cmp -n $((64 << 20)) -i $((500000 << 20)):0 "$device" /dev/zero
  end_device
}

@test "write zeroes: the range reads as zeros, its neighbours keep their data" {
  start_device ramdisk.lua size=64M
  head -c 1M /dev/zero | tr '\0' 'x' |
    dd of="$device" bs=1M oflag=direct iflag=fullblock status=none
  blkdiscard -z -o 4608 -l 9728 "$device" # 9 to 28 sectors: neither end on a page
  [[ $(dd if="$device" bs=512 count=9 status=none | tr -d 'x' | wc -c) -eq 0 ]]
  cmp -n 9728 -i 4608:0 "$device" /dev/zero
  [[ $(dd if="$device" bs=512 skip=28 count=100 status=none | tr -d 'x' | wc -c) -eq 0 ]]
  end_device
}

# Commands as the kernel's tracepoint shows them: thread name, user_data, opcode.
traced_commands() {
  # The event is called io_uring_submit_sqe or io_uring_submit_req.
  local thread='^ *(.*)-[0-9]+ +\[.*' event='io_uring_submit_(sqe|req): .*'
  local data='user_data 0x([0-9a-f]+),.*' opcode='opcode ([A-Z_]+),.*'
  sed -En "s/$thread$event$data$opcode/\1 \3 \4/p" "$tracing/trace"
}

# trace_start ARG…: start a device of two queues and 16 tags. What its queues send before START_DEV
# is then in $before, a user_data a line, and how many commands follow in $after.
trace_start() {
  local event start
  mountpoint -q "$tracing" || mount -t tracefs none "$tracing"
  event=$(compgen -G "$tracing/events/io_uring/io_uring_submit_[rs]*" | head -n 1)
  [[ -n $event ]] || skip "needs the io_uring tracepoints"
  echo 0 >"$tracing/trace"
  echo 1 >"$event/enable"
  start_device -q 2 -d 16 "$@"
  echo 0 >"$event/enable"
  # Each queue's ring has a poll too, of the eventfd that wakes it.
  traced_commands | grep URING_CMD >"$BATS_TEST_TMPDIR/commands"
  cat "$BATS_TEST_TMPDIR/commands" >&2
  # The main thread numbers its commands: features, add, set and get parameters, affinity of two
  # queues, and START_DEV is the seventh. The names of the queues' threads are not always on
  # record: what is not the main thread's is theirs.
  start=$(grep -n '^ublk-lua 7 URING_CMD' "$BATS_TEST_TMPDIR/commands" | cut -d: -f1)
  before=$(head -n "$start" "$BATS_TEST_TMPDIR/commands" | grep -v '^ublk-lua' | awk '{ print $2 }')
  after=$(tail -n +"$start" "$BATS_TEST_TMPDIR/commands" | grep -cv '^ublk-lua') || true
}

# each_twice COUNT: $before has so many different commands, each of them twice, and nothing else.
each_twice() {
  [[ $(sort <<<"$before" | uniq -c | awk '$1 == 2' | wc -l) -eq $1 ]]
  [[ $(wc -l <<<"$before") -eq $((2 * $1)) ]]
}

@test "one FETCH for each tag before START_DEV, then nothing until I/O comes" {
  trace_start -e '{ size = "64M", batch = false }'
  each_twice 16
  # What follows on the queues is one COMMIT_AND_FETCH for each request of the partition scan.
  local requests
  requests=$(awk '{ print $1 + $5 }' "/sys/block/${device#/dev/}/stat")
  [[ $after -le $((requests + 8)) ]]
  end_device
}

@test "in batches one PREP and one FETCH for each queue before START_DEV" {
  since 7.0 || skip "needs a driver with BATCH_IO"
  trace_start -e '{ size = "64M", batch = true }'
  each_twice 2
  end_device
}

@test "one io_uring_enter for each round" {
  command -v strace >/dev/null || skip "needs strace"
  strace -f -c -e trace=io_uring_enter -o "$BATS_TEST_TMPDIR/strace" \
    "$program" --stats "$BATS_TEST_TMPDIR/stats" ramdisk.lua size=64M -- \
    sh -c 'dd if=$DEV of=/dev/null bs=4k count=500 iflag=direct status=none'
  local enters rounds
  enters=$(awk '$NF == "io_uring_enter" { print $4 }' "$BATS_TEST_TMPDIR/strace")
  rounds=$(jq '.queues[0].rounds' "$BATS_TEST_TMPDIR/stats")
  # Beside the rounds: one to fetch, and the control commands' own.
  ((rounds >= 500 && enters >= rounds && enters <= rounds + 20))
}

@test "what the driver gives back is what is used" {
  start_device -q 64 ramdisk.lua
  grep -q 'queues were asked for, the driver gives' "$server_err"
  local queues=("/sys/block/${device#/dev/}/mq"/*)
  [[ ${#queues[@]} -eq $(cat "/proc/$(server_process)/task"/*/comm | grep -c '^queue/') ]]
  end_device
}

@test "device limits are those of the script" {
  script 'return { size = "64M", block_size = 4096, physical_block_size = 8192, max_io = "128K",
    read_only = true, rotational = true, volatile_cache = false }'
  start_device "$script"
  local queue=/sys/block/${device#/dev/}/queue
  [[ $(<"$queue/logical_block_size") -eq 4096 && $(<"$queue/physical_block_size") -eq 8192 ]]
  [[ $(<"$queue/max_hw_sectors_kb") -eq 128 && $(<"$queue/rotational") -eq 1 ]]
  [[ $(<"$queue/write_cache") == "write through" && $(blockdev --getro "$device") -eq 1 ]]
  end_device
  start_device ramdisk.lua
  queue=/sys/block/${device#/dev/}/queue
  [[ $(<"$queue/write_cache") == "write back" && $(<"$queue/fua") -eq 1 ]]
  end_device
}

@test "features: names as JSON, and the mask agrees with them" {
  run --separate-stderr "$program" features --json
  [[ $status -eq 0 ]]
  [[ $(jq '.features.CMD_IOCTL_ENCODE' <<<"$output") == true ]]
  jq -e '.mask as $mask | ([.features | to_entries | to_entries[] | select(.value.value) |
    pow(2; .key)] | add) + ([.unknown[] | pow(2; .)] | add // 0) == $mask' <<<"$output"
  run "$program" features
  [[ $output == *"yes  CMD_IOCTL_ENCODE"* ]]
}

@test "a script with the shebang line runs by itself" {
  cp "$top/examples/ramdisk.lua" "$BATS_TEST_TMPDIR/mine.lua"
  ln -s "$program" "$BATS_TEST_TMPDIR/ublk-lua"
  PATH=$BATS_TEST_TMPDIR:$PATH run --separate-stderr "$BATS_TEST_TMPDIR/mine.lua" size=64M -- \
    sh -c 'blockdev --getsize64 $DEV'
  [[ $status -eq 0 && $output -eq $((64 << 20)) ]]
}
