#!/usr/bin/env bats
# Faults reach the client as what the script said, and only those; a seed repeats them.

load lib

setup() { device_setup; }
teardown() { device_teardown; }

@test "rate=100%: every write fails with EIO, reads work" {
  start_device --stats "$BATS_TEST_TMPDIR/stats" faulty.lua rate=100%
  local i
  for i in 0 1 7 100; do
    run dd if=/dev/zero of="$device" bs=4k count=1 seek=$i oflag=direct
    [[ $status -ne 0 && $output == *"Input/output error"* ]]
  done
  dd if="$device" of=/dev/null bs=1M count=16 iflag=direct status=none
  end_device
  holds '.total.ops.write | .requests == .errors and .requests == .injected'
  holds '.total.ops.read | .errors + .scripted == 0'
}

# workload SEED: one fio job of fixed writes under 1 % of faults, by a new device; the digest of
# what then stands on the device, and the numbers of errors that fio saw and the device made. One
# write at a time: with more in flight the kernel may send them in another order each time.
workload() {
  local dir=$BATS_TEST_TMPDIR
  start_device --seed "$1" --stats "$dir/stats" faulty.lua size=64M rate=1%
  fio --name=w --filename="$device" --ioengine=psync --direct=1 --rw=randwrite --bs=4k \
    --size=16M --randseed=7 --buffer_pattern=0xabcd --continue_on_error=write \
    --output="$dir/fio" --output-format=json
  digest=$(dd if="$device" bs=1M iflag=direct status=none | sha256sum)
  end_device
  seen=$(jq '.jobs[0].total_err' "$dir/fio")
  injected=$(jq '.total.ops.write.injected' "$dir/stats")
}

@test "rate=1%: the same seed and workload fail the same sectors twice, another seed others" {
  local first_digest first_injected
  workload 42
  first_digest=$digest first_injected=$injected
  # 4096 writes at 1 %: 41 expected, standard deviation 6.4; five of them on either side.
  [[ $injected -ge 9 && $injected -le 73 ]]
  [[ $seen -eq $injected ]]
  workload 42
  [[ $injected -eq $first_injected && $digest == "$first_digest" ]]
  workload 43
  [[ $digest != "$first_digest" ]]
}


@test "errno names arrive as the block layer maps them" {
  local errno expected
  for errno in EIO:EIO ENODATA:ENODATA ENOSPC:ENOSPC ETIMEDOUT:ETIMEDOUT EFAULT:EIO; do
    expected=${errno#*:} errno=${errno%:*}
    # Below it reads work: the partition scan must not be what is measured.
    script "return { size = '64M', backing = ublk.mem(), read = function(sector)
      if sector >= 65536 then return '$errno' end end }"
    start_device "$script"
    run dd if="$device" of=/dev/null bs=4k count=1 skip=8192 iflag=direct
    case $expected in
    EIO) [[ $output == *"Input/output error"* ]] ;;
    ENODATA) [[ $output == *"No data available"* ]] ;;
    ENOSPC) [[ $output == *"No space left on device"* ]] ;;
    ETIMEDOUT) [[ $output == *"Connection timed out"* ]] ;;
    esac
    end_device
  done
}

@test "a handler that throws: EIO for the request, one traceback, the device lives" {
  script 'return { size = "64M", backing = ublk.mem(),
    write = function(sector) if sector == 8 then error("on purpose") end end }'
  start_device "$script"
  local i
  for i in 1 2 3; do
    run dd if=/dev/zero of="$device" bs=4k count=1 seek=1 oflag=direct
    [[ $status -ne 0 ]]
  done
  dd if=/dev/zero of="$device" bs=4k count=1 seek=2 oflag=direct status=none
  end_device
  [[ $(grep -c 'stack traceback' "$server_err") -eq 1 ]]
  grep -q 'script.lua:3: on purpose (3 times in all)' "$server_err"
}

@test "verdicts that are none fail the request and say so" {
  script 'return { size = "64M", backing = ublk.mem(), write = function(sector)
    if sector == 0 then return "EAGAIN" elseif sector == 8 then return 17 else return "EFOO" end
  end }'
  start_device "$script"
  local i
  for i in 0 1 2; do
    run dd if=/dev/zero of="$device" bs=4k count=1 seek=$i oflag=direct
    [[ $status -ne 0 && $output == *"Input/output error"* ]]
  done
  end_device
  grep -q 'EAGAIN means' "$server_err"
  grep -q 'returned 17, which is no verdict' "$server_err"
  grep -q 'returned "EFOO", which is no verdict' "$server_err"
}

@test "a handler writes the data of a read, and sees that of a write" {
  script 'local ffi = require "ffi"
    local seen = 0
    return { size = "64M", backing = ublk.mem(),
      write = function(_, length, buf) seen = buf[length - 1] end,
      read = function(sector, length, buf)
        if sector < 65536 then return end
        ffi.fill(buf, length, seen)
        return true
      end }'
  start_device "$script"
  head -c 4096 /dev/zero | tr '\0' 'Z' |
    dd of="$device" bs=4k oflag=direct iflag=fullblock status=none
  local back
  back=$(dd if="$device" bs=4k count=1 skip=8192 iflag=direct status=none | tr -d 'Z' | wc -c)
  [[ $back -eq 0 ]]
  end_device
}

@test "ops that the script does not handle never reach it" {
  script 'return { size = "64M", backing = ublk.mem(), flush = function() return "EIO" end }'
  start_device --stats "$BATS_TEST_TMPDIR/stats" "$script"
  dd if=/dev/zero of="$device" bs=64k count=64 oflag=direct status=none
  run dd if=/dev/zero of="$device" bs=4k count=1 oflag=direct conv=fsync
  [[ $status -ne 0 ]]
  end_device
  holds '.total.ops.write.scripted + .total.ops.read.scripted == 0'
  holds '.total.ops.flush | .injected > 0 and .injected == .scripted'
}
