# shellcheck shell=bash
# Devices whose server dies and is replaced: by kill -9 under load, or of what its script does.
# Loaded after lib.bash.

recovery_teardown() {
  [[ -z ${load:-} ]] || has_ended "$load" || kill -KILL "$load"
  end_waiting
  device_teardown
}

# What a failed test has left waits for a server that nobody will start.
end_waiting() {
  local id
  [[ -z ${BATS_TEST_COMPLETED:-} ]] || return 0
  [[ -z $server ]] || has_ended "$server" || end_device || true
  for id in $("$program" list --json | jq '.[] | select(.kind == "waiting") | .number'); do
    "$program" stop "$id"
  done
}

has_fail() { since 6.13 || skip "needs a driver with USER_RECOVERY_FAIL_IO"; }

recovered() { [[ $(grep -c 'recovered with a new server' "$server_err") -ge $1 ]]; }

# kill_server COUNT: kill -9 the server and wait until the device has its COUNT-th new one.
kill_server() {
  kill -KILL "$(server_process)"
  wait_until 30 recovered "$1"
}

# has_moved FROM: has fio had more than a hundred answers since FROM of them?
requests() { awk '{ print $1 + $5 }' "/sys/block/${device#/dev/}/stat"; }
has_moved() { (($(requests) > $1 + 100)); }

# kill_rounds COUNT [OLDEST]: kill servers while fio goes on; each has answered before, and some are
# OLDEST seconds old, so that they count as having worked.
kill_rounds() {
  local round from
  for ((round = 1; round <= $1; round++)); do
    from=$(requests)
    wait_until 60 has_moved "$from"
    sleep "${2:-0}"
    kill_server "$round"
    ! has_ended "$load" || { echo "fio has ended in round $round" >&2 && return 1; }
  done
  from=$(requests)
  wait_until 60 has_moved "$from"
}

# killed_under_verify COUNT [OLDEST]: fio writes and verifies on a device whose servers are killed,
# with recover = "reissue", and no error reaches it.
killed_under_verify() {
  start_device --recover reissue -q 2 ramdisk.lua size=64M
  fio --name=verify --filename="$device" --allow_file_create=0 --ioengine=io_uring --direct=1 \
    --rw=randwrite --bs=4k --iodepth=16 --size=4M --verify=crc32c --verify_fatal=1 --time_based \
    --runtime=3000 --output="$BATS_TEST_TMPDIR/fio.json" --output-format=json 2>/dev/null 3>&- &
  load=$!
  kill_rounds "$@"
  kill -INT "$load" # it ends with what it has in flight
  wait_until 60 has_ended "$load"
  wait "$load" || true # 128: it was interrupted
  no_fio_errors
  end_device
}

# deadly WAY LUA: a device on which each read of sector 4096 does what its server dies of.
deadly() {
  script "return { size = '8M', recover = '$1', watchdog = 1, read = function(sector)
    if sector == 4096 then $2 end
  end }"
  start_device "$script"
}

read_at_4096() { dd if="$device" of=/dev/null bs=4k skip=512 count=1 iflag=direct status=none; }
