#!/usr/bin/env bats
# The ways of a request's data between client and server: the same bytes come through each of them,
# over each kind of backing, looked at by a script or not; which one is taken is told, and one that
# the kernel does not have is refused. All combinations are in tests/soak/exercise.bats.

load lib
load exercise

setup() { device_setup; }

teardown() {
  mountpoint -q "$BATS_TEST_TMPDIR/mnt" && umount -l "$BATS_TEST_TMPDIR/mnt"
  device_teardown
}

offers() { "$program" features --json | jq -e ".features.$1" >/dev/null; }

# modes_of BACKING: those that this kernel's driver and the backing have.
modes_of() {
  local mode
  for mode in "${modes[@]}"; do
    [[ -n $(refusal "$1" "$mode" auto) ]] || echo "$mode"
  done
}

# Bytes in calls of read and write that the server's threads have made, and how many calls.
calls() { awk '/^sysc[rw]/ { sum += $2 } END { print sum }' "/proc/$(server_process)/io"; }

# each_mode BACKING LUA COMMAND…: run the command on a device with these fields, in each mode, with
# one queue or with four, in turn.
each_mode() {
  local kind=$1 fields=$2 queues=1
  shift 2
  for mode in $(modes_of "$kind"); do
    queues=$((5 - queues))
    echo "# $kind $mode, $queues queues"
    start_device --mode "$mode" -q "$queues" -e "return { max_io = '128k', $fields }"
    "$@"
    end_device
  done
}

# A file of 8 MiB in $BATS_TEST_TMPDIR/mnt, which is mounted with these arguments.
on_mount() {
  mkdir -p "$BATS_TEST_TMPDIR/mnt"
  mount "$@" "$BATS_TEST_TMPDIR/mnt"
  truncate -s 8M "$BATS_TEST_TMPDIR/mnt/disk.img"
}

# The modes that move a registered buffer, or what is next to them.
best=copy pages=user_copy batch=false
! since 6.15 || best=zero_copy
! since 6.16 || pages=auto_buf
! since 7.0 || batch=true

# These two have each backing, and each mode that this kernel has, at least once.
@test "a device gives back what was written: random operations over memory and files" {
  exercise_setup
  combine mem user_copy 4 $batch exercise 400
  combine tmpfs get_data 1 false exercise 400
  combine tmpfs $pages 4 $batch exercise 400
  combine disk $best 4 $batch exercise 400
  combine cached $pages 1 false exercise 400
  end_lower
}

@test "a device gives back what was written: random operations over other backings" {
  exercise_setup
  combine stripe user_copy 1 $batch exercise 400
  combine mirror get_data 4 false exercise 400
  combine cow copy 4 $batch exercise 400
  combine nested user_copy 1 false exercise 400
  end_lower
}

flips_are_seen() {
  dd if=/dev/zero of="$device" bs=64k count=16 oflag=direct status=none
  [[ $(head -c 1024 "$device" | od -An -v -tx1 | tr -d ' \n' | sed 's/00//g') == 0101 ]]
  cmp -n 1024 -i 512k:0 "$device" /dev/zero
}

# A script that flips a bit of what is read, and looks at what is written.
flip='block_size = 512, range = "0..512k", read = function(_, length, buf, req)
    local failed = req:forward()
    for at = 0, length - 1, 512 do buf[at] = bit.bxor(buf[at], 1) end
    return failed
  end, write = function(_, length, buf)
    if buf[0] ~= 0 or buf[length - 1] ~= 0 then return "EDOM" end
  end'

@test "a script that looks sees and changes the data, in each mode" {
  start_lower ramdisk.lua size=8M
  each_mode disk "backing = ublk.file('$below', { direct = true }), $flip" flips_are_seen
  end_lower
  start_device --mode user_copy -e "{ size = '8M', $flip }"
  flips_are_seen
  end_device
}

takes_and_gives_but_in_the_middle() {
  local calls_before
  calls_before=$(calls)
  dd if=/dev/zero of="$device" bs=64k count=8 oflag=direct status=none
  dd if="$device" of=/dev/null bs=64k count=8 iflag=direct status=none
  run dd if=/dev/zero of="$device" bs=4k seek=256 count=1 oflag=direct
  [[ $output == *"No space left"* ]]
  run dd if="$device" of=/dev/null bs=4k skip=256 count=1 iflag=direct
  [[ $output == *"No data available"* ]]
  # Nobody wants the data, so the server makes no call of read or write; some are for its messages.
  (($(calls) - calls_before < 12))
}

@test "ublk.null(), and errors without a look, in each mode" {
  local errors='data = false, range = "1M..2M", write = function() return "ENOSPC" end,
    read = function() return "ENODATA" end'
  each_mode null "size = '8M', backing = ublk.null(), $errors" takes_and_gives_but_in_the_middle
}

# server_calls OPTIONS LUA: how many calls of read and write the server makes for 256 writes and
# as many reads of 4 KiB.
server_calls() {
  local before
  # shellcheck disable=SC2086 # options are words
  start_device $1 -e "return { $2 }"
  before=$(calls)
  dd if=/dev/zero of="$device" bs=4k count=256 oflag=direct status=none
  dd if="$device" of=/dev/null bs=4k count=256 iflag=direct status=none
  echo $(($(calls) - before))
  end_device >/dev/null
}

@test "data is moved for those who want it, and by as few calls as there can be" {
  offers USER_COPY || skip "needs a driver with user copy"
  (($(server_calls '--mode user_copy' 'size = "8M", backing = ublk.null()') < 100))
  (($(server_calls '--mode user_copy' 'size = "8M"') >= 512))
  (($(server_calls '--mode user_copy' 'size = "8M", backing = ublk.null(), data = false,
    handler = function() end') < 100))
  (($(server_calls '--mode user_copy' 'size = "8M", backing = ublk.null(),
    write = function(_, _, buf) end') >= 256))
  offers AUTO_BUF_REG || return 0
  start_lower ramdisk.lua size=8M
  # By registered pages: were they refused, each request would be copied by a call.
  (($(server_calls '--mode zero_copy' "backing = ublk.file('$below', { direct = true })") < 100))
  (($(server_calls '--mode auto_buf' "backing = ublk.file('$below', { direct = true })") < 100))
  end_lower
}

@test "a tmpfs that is full, or whose file was cut short, is an error and the server lives" {
  on_mount -t tmpfs -o size=2m none
  for mode in $(modes_of tmpfs); do
    truncate -s 0 "$BATS_TEST_TMPDIR/mnt/disk.img"
    truncate -s 8M "$BATS_TEST_TMPDIR/mnt/disk.img"
    start_device --mode "$mode" -e "return { backing = ublk.file '$BATS_TEST_TMPDIR/mnt/disk.img' }"
    run dd if=/dev/zero of="$device" bs=64k count=64 oflag=direct
    [[ $output == *"No space left"* ]]
    # To read a hole takes no room.
    dd if="$device" of=/dev/null bs=64k skip=64 count=64 iflag=direct status=none
    truncate -s 64k "$BATS_TEST_TMPDIR/mnt/disk.img"
    run dd if="$device" of=/dev/null bs=64k skip=4 count=1 iflag=direct
    [[ $output == *"Input/output error"* ]]
    dd if="$device" of=/dev/null bs=64k count=1 iflag=direct status=none
    end_device
  done
}

# Pages that do not lie as O_DIRECT wants it go by the buffer.
@test "zero copy takes memory that the file's O_DIRECT does not" {
  offers SUPPORT_ZERO_COPY || skip "needs a driver with zero copy"
  script 'return { size = "8M", block_size = 4096 }'
  start_lower "$script"
  for mode in zero_copy $(! offers AUTO_BUF_REG || echo auto_buf); do
    start_device --mode "$mode" -e "return { backing = ublk.file('$below', { direct = true }) }"
    fio --name=unaligned --filename="$device" --ioengine=io_uring --direct=1 --rw=randwrite \
      --bs=8k --size=256k --iomem_align=512 --mem_align=512 --verify=crc32c --verify_fatal=1 \
      --output="$BATS_TEST_TMPDIR/fio"
    end_device
  done
  end_lower
}

@test "kill -9 of the server with data on its way, in each mode" {
  start_slow_lower
  for mode in $(modes_of disk); do
    killed_under_load server_process below_is_busy --mode "$mode" \
      -e "return { backing = ublk.file('$below', { direct = true }) }"
  done
  dd if="$below" of=/dev/null bs=64k count=1 iflag=direct status=none
  end_lower
  no_devices
}

@test "a device that ends under load ends well, in each mode" {
  start_slow_lower
  for mode in $(modes_of disk); do
    start_device --mode "$mode" -e "return { backing = ublk.file('$below', { direct = true }) }"
    start_fio
    wait_until 20 below_is_busy
    end_device
    wait_until 20 has_ended "$load"
  done
  end_lower
}

# refused MODE BACKING WORD…: one line that names the mode, and no device.
refused() {
  run --separate-stderr "$program" --mode "$1" -e "return { size = '8M', backing = $2 }" -- true
  [[ $status -eq 1 ]]
  one_line_error "-e: mode = \"$1\"" "${@:3}"
  no_devices
}

@test "a mode that the driver or the backing does not have is refused" {
  offers SUPPORT_ZERO_COPY || refused zero_copy 'ublk.null()' SUPPORT_ZERO_COPY 6.15
  offers AUTO_BUF_REG || refused auto_buf 'ublk.null()' AUTO_BUF_REG 6.16
  ! offers SUPPORT_ZERO_COPY || refused zero_copy 'ublk.mem()' '"user_copy"'
  ! offers AUTO_BUF_REG || refused auto_buf 'ublk.mem()' '"user_copy"'
}

# told FIELDS MODE: what a device with them gets, and that it is told why.
told() {
  run --separate-stderr "$program" -v -e "return { $1 }" -- true
  [[ $stderr == *"data mode $2: "[a-z]* ]] || { grep 'data mode' <<<"$stderr" >&2; return 1; }
}

# as NAME: the mode that `features` says for it.
as() { "$program" features --json | jq -r ".modes.$1.mode"; }

@test "which mode a device gets is what features says" {
  start_lower ramdisk.lua size=8M
  told 'size = "8M", backing = ublk.null()' "$(as null)"
  told 'size = "8M"' "$(as mem)"
  told "backing = ublk.file('$below', { direct = true })" "$(as file)"
  on_mount -t tmpfs none
  told "backing = ublk.file '$BATS_TEST_TMPDIR/mnt/disk.img'" "$(as tmpfs)"
  told 'size = "8M", read = function(_, _, buf) end' "$(as script)"
  told 'size = "8M", read = function(_, _, buf) end, mode = "user_copy"' user_copy
  end_lower
  run "$program" features
  [[ $output == *"ublk.mem()  "*"$(as mem)"* ]]
}
