#!/usr/bin/env bats
# Several threads for each hardware queue (UBLK_F_PER_IO_DAEMON): the tags of a queue are shared out
# among them, the data comes through in each mode, and all that ends a device ends them. Where the
# driver ties a queue to one task, they are refused.

load lib

setup() {
  device_setup
  stats=$BATS_TEST_TMPDIR/stats
}

teardown() { device_teardown; }

has_threads() { since 6.16 || skip "needs a driver with PER_IO_DAEMON"; }

# refused FIELDS WORD…: no device, and one line with these.
refused() {
  run --separate-stderr "$program" -e "return { size = '8M', $1 }" -- true
  [[ $status -eq 1 ]]
  one_line_error "-e: " "${@:2}"
  no_devices
}

@test "threads are refused in one line where the driver has none, or they have nothing to do" {
  since 6.16 || refused 'threads = 2' 'threads = 2: this kernel' PER_IO_DAEMON 6.16
  refused 'threads = 3, depth = 2' 'threads = 3: from 1 to 2 (depth)'
  refused 'threads = 2, batch = true' 'batch = true: with threads = 2'
}

# start FIELDS: a device with these.
start() {
  script "return { size = '64M', max_io = '128K', $1 }"
  start_device -v --stats "$stats" "$script"
  grep -q 'uses: .*PER_IO_DAEMON' "$server_err"
}

# Writes and reads of all sizes, at random, from two jobs.
exercise() {
  verify --iodepth=16 --size=2M --numjobs=2 --offset_increment=4M --bsrange=512-128k \
    --bs_unaligned=0 --blockalign=512 --number_ios=200
}

# each_has_requests COUNT: so many queues are there to scripts, and each has had some.
each_has_requests() {
  holds ".queues | length == $1 and ([.[].ops.write.requests > 0] | all)"
  holds '.total.ops | .write.errors == 0 and .read.errors == 0'
}

@test "fio verify with two, three and four threads, in each mode: each of them serves" {
  has_threads
  local pair mode threads
  start_lower ramdisk.lua size=64M
  for pair in copy:2 get_data:3 user_copy:4 zero_copy:2 auto_buf:3; do
    mode=${pair%:*} threads=${pair#*:}
    echo "# $mode, $threads threads"
    start "mode = '$mode', threads = $threads, depth = 15,
      backing = ublk.file('$below', { direct = true })"
    exercise
    end_device
    grep -q "1 queue of depth 15, $threads threads each" "$server_err"
    each_has_requests "$threads"
  done
  end_lower
}

@test "fio verify through handlers that wait, on two queues with a thread for each tag" {
  has_threads
  local queues
  queues=$(($(nproc) < 2 ? 1 : 2))
  start "queues = $queues, threads = 4, depth = 4, mode = 'user_copy',
    handler = function(_, sector, _, _, req) ublk.sleep(sector % 24 / 1e4) return req:forward() end"
  exercise
  end_device
  each_has_requests $((queues * 4))
}

@test "a thread is a queue of its own to the script, to counts and to clients" {
  has_threads
  start 'threads = 3, depth = 8,
    write = function(_, _, _, req)
      assert(req.queue == ublk.queue and req.tag < 3)
      ublk.counter("of " .. ublk.queue):add()
      ublk.shared { all = 0 }:add "all"
    end'
  echo 2 >"/sys/block/${device#/dev/}/queue/nomerges" # each of fio's requests is one here
  verify --iodepth=8 --size=1M
  run -0 "$program" info --json "$device"
  [[ $(jq -c '[.queues, .threads, .depth]' <<<"$output") == '[1,3,8]' ]]
  run -0 "$program" eval --queue all --json "$device" 'ublk.queue, ublk.shared { all = 0 }.all'
  [[ $(jq -c '[.[].values]' <<<"$output") == '[[0,256],[1,256],[2,256]]' ]]
  run -0 "$program" eval --queue 2 "$device" ublk.queue
  [[ $output == 2 ]]
  run "$program" eval --queue 3 "$device" 1
  [[ $status -eq 1 && $output == *"from 0 to 2"* ]]
  # One thread, one CPU of the queue's, where there are as many.
  local masks
  masks=$(for task in "/proc/$(server_process)"/task/*; do
    [[ $(<"$task/comm") != queue/* ]] || grep Cpus_allowed_list "$task/status"
  done)
  [[ $(wc -l <<<"$masks") -eq 3 ]]
  [[ $(nproc) -ne 2 || $(sort -u <<<"$masks" | wc -l) -eq 2 ]]
  end_device
  holds '.total.counters == { "of 0": .queues[0].ops.write.requests,
    "of 1": .queues[1].ops.write.requests, "of 2": .queues[2].ops.write.requests }'
  each_has_requests 3
}

@test "a device with threads stops: under load, and with requests that are held" {
  has_threads
  local begin
  start 'threads = 4'
  start_load
  end_device
  wait_until 20 has_ended "$load"
  wait "$load" && return 1
  start 'threads = 4, write = function() return ublk.hold "for ever" end'
  start_fio
  wait_until 20 in_flight "$device"
  begin=$SECONDS
  end_device
  ((SECONDS - begin < 8))
  wait_until 20 has_ended "$load"
  run ! grep -qE 'refuses|still in flight|killing|does not end' "$server_err"
}

# A thread that computes for ever holds its own requests up alone, and the stop ends it.
@test "a thread that hangs does not keep the others from answering, nor the device from its end" {
  has_threads
  start 'threads = 2, depth = 16, partition_scan = false,
    write = function(_, _, _, req) while req.queue == 1 do end end'
  start_fio
  wait_until 20 in_flight "$device"
  run -0 "$program" eval --queue 0 "$device" 7
  [[ $output == 7 ]]
  end_device || true
  grep -q 'killing its server' "$server_err"
  wait_until 20 has_ended "$load"
}

@test "kill -9 of the server under load, and while it holds requests: all goes" {
  has_threads
  local handler
  for handler in '' 'write = function() return ublk.hold "for ever" end'; do
    start "threads = 3, $handler"
    start_fio
    wait_until 20 in_flight "$device"
    kill -KILL "$(server_process)"
    wait_until 20 has_ended "$load"
    wait "$load" && return 1
    wait_until 20 has_ended "$server"
    wait_until 10 nothing_in_d_state
    wait_until 10 no_devices
  done
}

@test "batches are not used with threads when nothing is said" {
  has_threads
  start 'threads = 2'
  run ! grep -q 'uses: .*BATCH_IO' "$server_err"
  end_device
}
