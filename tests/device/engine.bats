#!/usr/bin/env bats
# Handlers that wait on a real device: sleeping, holding, forwarding, layers, tasks and timers, and
# how a device ends that has requests which nobody would ever answer.

load lib

setup() { device_setup; }
teardown() {
  device_teardown
  [[ -z ${BATS_TEST_COMPLETED:-} || -n ${orphan_expected:-} ]] || wait_until 10 no_devices
}

# start ARG…: a device with the counters in the test's stats file.
start() {
  start_device --stats "$BATS_TEST_TMPDIR/stats" "$@"
  # Each request of a client is one request here.
  echo 2 >"/sys/block/${device#/dev/}/queue/nomerges"
}

# job ARG…: fio on the device; its output in the file fio.
job() {
  fio --name=job --filename="$device" --allow_file_create=0 --ioengine=io_uring --direct=1 \
    --bs=4k --output="$BATS_TEST_TMPDIR/fio" --output-format=json "$@" \
    2>"$BATS_TEST_TMPDIR/fio_errors"
}

# of_fio QUERY: true of the job's result.
of_fio() {
  jq -e "$1" "$BATS_TEST_TMPDIR/fio" >/dev/null && return
  jq -c '.jobs[0] | { error, total_err, write: .write.runtime, read: .read.runtime }' \
    "$BATS_TEST_TMPDIR/fio" >&2
  return 1
}

# put BLOCK, get BLOCK: a write or read of one block of 4 KiB.
put() {
  # Where the node has gone, dd would make a file of its name.
  dd if=/dev/zero of="$device" bs=4k count=1 seek="$1" oflag=direct conv=nocreat status=none
}
get() { dd if="$device" of=/dev/null bs=4k count=1 skip="$1" iflag=direct status=none; }

# put_later BLOCK: the same in the background, its process id in $client.
put_later() {
  dd if=/dev/zero of="$device" bs=4k count=1 seek="$1" oflag=direct conv=nocreat \
    2>"$BATS_TEST_TMPDIR/client" 3>&- &
  client=$!
}

# Requests that the device owes an answer.
in_flight() { awk '{ print $1 + $2 }' "/sys/block/${device#/dev/}/inflight"; }

owes() { (($(in_flight) >= $1)); }

# The client has got EIO, and ended.
client_failed() {
  wait_until 20 has_ended "$client"
  wait "$client" && return 1
  grep -q 'Input/output error' "$BATS_TEST_TMPDIR/client" && return
  cat "$BATS_TEST_TMPDIR/client" >&2
  return 1
}

# ended_by_itself STATUS: the program goes without a signal from us.
ended_by_itself() {
  local status=0 pid=$server
  wait_until 20 has_ended "$pid"
  server=''
  wait "$pid" || status=$?
  [[ $status -eq $1 ]]
}

@test "5 ms of sleep for each request: 64 in flight sleep at the same time" {
  script 'local now, most, slept = 0, ublk.counter "most", ublk.histogram("slept", "time")
    return { size = "64M", write = function()
      now = now + 1
      most.value = math.max(most.value, now)
      local begin = ublk.now()
      ublk.sleep "5ms"
      slept:record(ublk.now() - begin)
      now = now - 1
    end }'
  start "$script"
  job --rw=randwrite --iodepth=64 --iodepth_batch=64 --iodepth_batch_complete_min=64 \
    --number_ios=6400 --size=64M
  end_device
  holds '.total.counters.most == 64 and .total.ops.write.requests == 6400'
  holds '.total.histograms.slept | .count == 6400 and .min >= 5e6 and .p50 < 50e6'
  holds '.total.ops.write.latency_ns | .min >= 5e6 and .p50 < 50e6'
  # One after the other they would take 32 s; in batches of 64, at least half a second.
  of_fio '.jobs[0] | .error == 0 and .write.runtime >= 500 and .write.runtime < 10000'
}

@test "a write that is held waits until another request releases it, with or without an error" {
  script 'local released = ublk.counter "released"
    return { size = "64M",
      write = function(sector) return ublk.hold("gate at " .. sector) end,
      read = function(sector)
        if sector == 65536 then released:add(ublk.release("gate at 80", "EIO")) end
        if sector == 65544 then released:add(ublk.release("gate at 80")) end
      end }'
  start "$script"
  put_later 10
  wait_until 10 owes 1
  get 8 # no business of the one that waits
  sleep 0.3
  run ! has_ended "$client"
  get 8192
  client_failed

  put_later 10
  wait_until 10 owes 1
  sleep 0.3
  run ! has_ended "$client"
  get 8193
  wait_until 10 has_ended "$client"
  wait "$client"
  get 8193 # nobody is left
  end_device
  holds '.total.counters.released == 2'
  holds '.total.ops.write | .requests == 2 and .errors == 1 and .injected == 1'
}

@test "a write that is held is released by the clock" {
  script 'local beats, waited = 0, ublk.counter "waited for one beat"
    ublk.every("200ms", function() beats = beats + 1 ublk.release "beat" end)
    return { size = "64M", write = function()
      local before = beats
      ublk.hold "beat"
      if beats == before + 1 then waited:add() end
    end }'
  start "$script"
  put 1
  put 2
  end_device
  holds '.total.ops.write | .requests == 2 and .errors == 0'
  holds '.total.counters["waited for one beat"] == 2'
}

@test "a read that is changed after req:forward(): the reader sees it, the disk does not" {
  local disk=$BATS_TEST_TMPDIR/disk
  head -c 8M /dev/zero | tr '\0' 'Z' >"$disk"
  script "return { backing = ublk.file '$disk',
    read = function(sector, length, buf, req)
      local err = req:forward()
      if err then return err end
      for i = 0, length - 1, 512 do buf[i] = 65 + (sector + i / 512) % 8 end
    end }"
  start "$script"
  dd if="$device" of="$BATS_TEST_TMPDIR/seen" bs=64k iflag=direct status=none
  end_device
  [[ $(tr -d 'Z' <"$BATS_TEST_TMPDIR/seen" | head -c 16) == ABCDEFGHABCDEFGH ]]
  [[ $(tr -d 'Z' <"$BATS_TEST_TMPDIR/seen" | wc -c) -eq 16384 ]]
  [[ $(wc -c <"$disk") -eq $((8 << 20)) && $(tr -d 'Z' <"$disk" | wc -c) -eq 0 ]]
}

@test "a fault in a range: only what touches it fails, or is seen by the script at all" {
  script 'return { size = "4M", range = "1M+64K", read = function() return "EIO" end }'
  start "$script"
  job --ioengine=psync --rw=read --size=4M --continue_on_error=read
  # Across the edges: one sector within is enough, none is not.
  run ! dd if="$device" of=/dev/null bs=512 skip=2047 count=2 iflag=direct iflag=fullblock
  dd if="$device" of=/dev/null bs=512 skip=2047 count=1 iflag=direct status=none
  dd if="$device" of=/dev/null bs=512 skip=2176 count=1 iflag=direct status=none
  dd if=/dev/zero of="$device" bs=4k seek=256 count=16 oflag=direct status=none
  end_device
  of_fio '.jobs[0].total_err == 16'
  holds '.total.ops.read | .requests >= 1024 and .scripted == 17 and .errors == 17'
  holds '.total.layers.device | .seen == 17 and .hit == 17'
  holds '.total.ops.write | .scripted == 0 and .errors == 0'
}

@test "eight requests completed in the opposite order of their coming" {
  # Each waits for the one that comes after it, and so for all of them.
  script 'return { size = "64M", write = function(sector, _, _, req)
      local i = (sector - 2048) / 8
      if i < 7 then ublk.wait("done " .. i + 1) end
      local err = req:forward()
      ublk.sleep "1ms"
      ublk.signal("done " .. i)
      return err
    end }'
  start "$script"
  job --rw=write --offset=1M --size=32k --iodepth=8 --iodepth_batch=8 --log_offset=1 \
    --write_lat_log="$BATS_TEST_TMPDIR/log"
  end_device
  of_fio '.jobs[0].error == 0'
  # A line for each completion, in their order; the fifth field is the offset.
  local order
  order=$(awk -F, '{ printf "%d ", ($5 - 1048576) / 4096 }' "$BATS_TEST_TMPDIR"/log_clat.1.log)
  [[ $order == "7 6 5 4 3 2 1 0 " ]]
}

@test "layers over a device that is a backing: who saw a request, and who did something" {
  script 'return { size = "64M",
    write = function() end,
    layers = {
      { name = "late", range = "1M..2M", write = function() ublk.sleep "1ms" end },
      { name = "bad", range = "1M..1088K", handler = function(op)
        if op == "write" then return "ENOSPC" end end },
    },
    backing = { name = "disk", backing = ublk.mem(),
      write = function(_, _, _, req) req:hit() end } }'
  start "$script"
  put 0
  run dd if=/dev/zero of="$device" bs=4k count=1 seek=256 oflag=direct
  [[ $status -ne 0 && $output == *"No space left on device"* ]]
  put 300
  put 511
  put 512
  end_device
  holds '.total.layers | keys_unsorted == ["device", "late", "bad", "disk"]'
  holds '.total.layers.device == { seen: 5, hit: 0 }'
  holds '.total.layers.late == { seen: 3, hit: 3 }'
  holds '.total.layers.bad == { seen: 1, hit: 1 }'
  holds '.total.layers.disk == { seen: 4, hit: 4 }'
  holds '.total.ops.write | .requests == 5 and .errors == 1'
}

@test "on_error = \"stop\": the client gets EIO, the device ends by itself with one clear line" {
  script 'return { size = "64M", on_error = "stop",
    write = function(sector) if sector == 80 then error "on purpose" end end }'
  start "$script"
  put 1
  put_later 10
  client_failed
  ended_by_itself 1
  [[ $(grep -c 'on_error = "stop"' "$server_err") -eq 1 ]]
  [[ $(grep -c 'write: the handler failed, .* the device is stopped: .*on purpose' \
    "$server_err") -eq 1 ]]
  [[ ! -e $device ]]
  holds '.total.ops.write | .requests == 2 and .errors == 1'
}

@test "on_error = \"stop\" while thousands of writes fail: the server ends, unkilled" {
  script 'return { size = "64M", depth = 1, on_error = "stop", write = function(sector)
      if sector >= 80 then error "on purpose" end end }'
  start "$script"
  # Dirty pages apart from each other are written when fio closes the device: as many requests.
  job --ioengine=psync --direct=0 --rw=randwrite --size=64M --number_ios=4000 || true
  ended_by_itself 1
  [[ $(grep -c 'on_error = "stop"' "$server_err") -eq 1 ]]
  run ! grep -q 'killing' "$server_err"
  holds '.total.ops.write.errors > 1000'
}

@test "on_error = \"stop\" in a task, before the device has started" {
  script 'ublk.spawn(function() error "no use" end)
    return { size = "64M", on_error = "stop" }'
  "$program" "$script" >"$BATS_TEST_TMPDIR/node" 2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
  server=$!
  server_err=$BATS_TEST_TMPDIR/stderr
  ended_by_itself 1
  [[ $(grep -c 'on_error = "stop"' "$server_err") -eq 1 ]]
  grep -q 'a task failed: .*no use' "$server_err"
}

@test "on_error = \"pass\": the request goes on as if the layer had said nothing" {
  script 'return { size = "64M", on_error = "pass",
    write = function() error "on purpose" end,
    layers = { { name = "below", write = function() ublk.sleep "1ms" end } } }'
  start "$script"
  head -c 4096 /dev/zero | tr '\0' 'Z' |
    dd of="$device" bs=4k seek=10 oflag=direct iflag=fullblock status=none
  [[ $(dd if="$device" bs=4k skip=10 count=1 iflag=direct status=none | tr -d 'Z' | wc -c) -eq 0 ]]
  end_device
  holds '.total.ops.write | .requests == 1 and .errors == 0'
  holds '.total.layers | .device.seen == 1 and .below == { seen: 1, hit: 1 }'
  grep -q 'the request goes on to the layer below: .*on purpose' "$server_err"
}

@test "stopping with requests that are held for ever: soon, and the client gets EIO" {
  local signal begin
  for signal in TERM INT; do
    script 'return { size = "64M", write = function() return ublk.hold "for ever" end,
      flush = function() return ublk.wait "for ever" end }'
    start "$script"
    put_later 10
    wait_until 10 owes 1
    begin=$SECONDS
    end_device "$signal"
    ((SECONDS - begin < 8))
    client_failed
    run ! grep -qE 'still in flight|killing' "$server_err"
    holds '.total.ops.write | .requests == 1 and .errors == 1'
  done
}

@test "stopping with a request that will not let go: the time of grace, then EIO, no killing" {
  script 'local started = ublk.counter "started"
    return { size = "64M", write = function(sector)
      started:add()
      if sector == 80 then ublk.sleep "1h" end
      repeat ublk.wait "what never comes" until false
    end }'
  start "$script"
  put_later 10
  local other=$client
  put_later 11
  wait_until 10 owes 2
  local begin=$SECONDS
  kill -TERM "$server"
  sleep 1
  kill -INT "$server" # changes nothing
  end_device
  ((SECONDS - begin >= 9 && SECONDS - begin < 20))
  client_failed
  wait "$other" && return 1
  grep -q 'requests are still in flight after 10 s' "$server_err"
  run ! grep -q 'killing' "$server_err"
  holds '.total.counters.started == 2 and .total.ops.write.errors == 2'
}

@test "a device written on the command line, its queues counting together" {
  [[ $(nproc) -ge 2 ]] || skip "needs 2 CPUs"
  local cpus
  cpus=$(nproc)
  start -q 2 -e 'local all, mine = ublk.shared { writes = 0 }, ublk.counter "last"
    return { size = "64M", write = function() mine.value = all:add "writes" ublk.sleep(0) end }'
  job --rw=randwrite --size=8M --numjobs="$cpus" --number_ios=1000 --iodepth=16 \
    --cpus_allowed="0-$((cpus - 1))" --cpus_allowed_policy=split
  end_device
  holds '.queues | length == 2 and ([.[].ops.write.requests > 0] | all)'
  holds ".total.ops.write.requests == $((cpus * 1000))"
  holds "[.queues[].counters.last] | max == $((cpus * 1000))"
}

tasks_of_server() { find "/proc/$(server_process)/task" -mindepth 1 -maxdepth 1 | wc -l; }

@test "thousands of requests sleep, and the server has no more threads than before" {
  local queues before deepest=4096
  queues=$(($(nproc) < 4 ? $(nproc) : 4))
  script "local enough = false
    ublk.every('500ms', function()
      local file = io.open '$BATS_TEST_TMPDIR/enough'
      if file then enough = file:close() end
    end)
    return { size = '1G', max_io = '4K', write = function()
      repeat ublk.sleep '2s' until enough
    end }"
  start -q "$queues" -d "$deepest" "$script"
  before=$(tasks_of_server)
  job --rw=randwrite --size=64M --offset_increment=64M --numjobs="$queues" --iodepth="$deepest" \
    --number_ios="$deepest" --cpus_allowed="0-$((queues - 1))" --cpus_allowed_policy=split 3>&- &
  load=$!
  wait_until 60 owes $((queues * deepest))
  [[ $(tasks_of_server) -eq $before ]]
  touch "$BATS_TEST_TMPDIR/enough"
  wait_until 60 has_ended "$load"
  wait "$load"
  end_device
  of_fio '[.jobs[].error] | add == 0'
  holds ".total.ops.write | .requests == $((queues * deepest)) and .errors == 0"
}

@test "timers run on a device without any I/O, at their rate" {
  script 'local ticks, last = ublk.counter "ticks", ublk.counter "last tick, in ms"
    ublk.every("50ms", function() ticks:add() last.value = math.floor(ublk.now() * 1000) end)
    local once, rounds = ublk.counter "at, in ms", ublk.counter "rounds of a task"
    ublk.at("1s", function() once.value = math.floor(ublk.now() * 1000) end)
    ublk.spawn(function() while true do ublk.sleep "100ms" rounds:add() end end)
    ublk.every("10ms", function() error "cancelled" end):cancel()
    return { size = "64M" }'
  start "$script"
  local before=/sys/block/${device#/dev/}/stat
  before=$(<"$before")
  sleep 3
  [[ $(<"/sys/block/${device#/dev/}/stat") == "$before" ]]
  end_device
  holds '.total.counters | .["last tick, in ms"] > 2500'
  # Never more than one in 50 ms, and a slow guest may miss some.
  holds '.total.counters | .ticks <= .["last tick, in ms"] / 50'
  holds '.total.counters | .ticks >= .["last tick, in ms"] / 50 * 0.7'
  holds '.total.counters | .["at, in ms"] >= 1000 and .["at, in ms"] < 1500'
  holds '.total.counters | .["rounds of a task"] >= 15'
  run ! grep -q 'cancelled' "$server_err"
}

@test "ext4 over handlers that sleep or forward: mkfs, mount, copy, compare, fsck" {
  script 'return { size = "256M",
    handler = function(_, sector) if sector % 16 == 0 then ublk.sleep "100us" end end,
    layers = { { name = "forward", handler = function(_, _, _, _, req) return req:forward() end },
      { name = "cached", flush = function() ublk.sleep "1ms" end } } }'
  start "$script"
  mkfs.ext4 -q "$device"
  mkdir "$BATS_TEST_TMPDIR/mnt"
  mount "$device" "$BATS_TEST_TMPDIR/mnt"
  cp -r "$top/core" "$top/lua" "$BATS_TEST_TMPDIR/mnt"
  umount "$BATS_TEST_TMPDIR/mnt"
  blockdev --flushbufs "$device" # what comes now comes from the device
  mount "$device" "$BATS_TEST_TMPDIR/mnt"
  diff -r "$top/core" "$BATS_TEST_TMPDIR/mnt/core"
  diff -r "$top/lua" "$BATS_TEST_TMPDIR/mnt/lua"
  umount "$BATS_TEST_TMPDIR/mnt"
  fsck.ext4 -fn "$device"
  end_device
  holds '.total.layers | .forward.seen > 100 and .forward.hit == .forward.seen'
  holds '.total.layers.cached | .hit > 0 and .hit == .seen'
  holds '[.total.ops[].errors] | add == 0'
}

@test "kill -9 of the server while requests sleep and are held: EIO, and nothing is left" {
  script 'return { size = "64M", write = function(sector)
      if sector % 16 == 0 then ublk.sleep "1h" else return ublk.hold "for ever" end
    end }'
  start "$script"
  job --rw=write --size=128k --iodepth=32 3>&- &
  load=$!
  put_later 100
  wait_until 10 owes 33
  kill -KILL "$(server_process)"
  client_failed
  wait_until 20 has_ended "$load"
  wait "$load" && return 1
  ended_by_itself 1
  [[ ! -e $device ]]
}

@test "a handler that sleeps in the reads of the start only delays it" {
  script 'return { size = "64M", read = function() ublk.sleep "500ms" end }'
  start "$script"
  get 10
  end_device
  holds '.total.ops.read | .errors == 0 and .latency_ns.min >= 500e6'
}

@test "a signal while the reads of the start are held for ever ends the program cleanly" {
  script 'return { size = "64M", read = function() ublk.hold "for ever" end }'
  "$program" "$script" >"$BATS_TEST_TMPDIR/node" 2>"$BATS_TEST_TMPDIR/stderr" 3>&- &
  server=$!
  server_err=$BATS_TEST_TMPDIR/stderr
  wait_until 20 test -e /sys/class/ublk-char/ublkc0
  sleep 0.5
  local begin=$SECONDS
  end_device INT
  ((SECONDS - begin < 8))
  run ! grep -q 'killing' "$server_err"
}

@test "a task that never rests leaves room for requests, and the device can be stopped" {
  script 'ublk.spawn(function() while true do ublk.sleep(0) end end)
    ublk.spawn(function() while true do ublk.signal "b" ublk.wait "a" end end)
    ublk.spawn(function() while true do ublk.wait "b" ublk.signal "a" end end)
    return { size = "64M", write = function() ublk.sleep "1ms" end }'
  start "$script"
  job --rw=randwrite --size=1M --iodepth=8
  of_fio '.jobs[0].error == 0'
  local begin=$SECONDS
  end_device
  ((SECONDS - begin < 8))
  holds '.total.ops.write.requests == 256'
}
