# shellcheck shell=bash
# How each family of contenders is started and ended. start_FAMILY ARG… leaves the device in
# $node, the bytes it must have in $expected_size and its hardware queues in $expected_queues, or
# returns 1; stop_FAMILY may be called whatever became of the start. Both write to $log.
# Uses $queues, $size, $file, $tmp and is_as_meant of `guest`, and for pinning place.bash.

child='' # process id of a server that is our child

start_ours() {
  local fields=$*
  fields=${fields//FILE/\'$file\'}
  : >"$tmp/node"
  in_group server "$program" -e "local F = function() end
    return { size = $size, queues = $queues, $fields }" >"$tmp/node" 2>>"$log" &
  child=$!
  wait_until 60 node_or_end && read -r node <"$tmp/node"
}

node_or_end() { [ -s "$tmp/node" ] || has_ended "$child"; }

stop_ours() { end_child; }

start_kublk() {
  local bits=$1 flags id_line
  shift
  case $* in
  *loop*) set -- "$@" "$file" ;;
  *null*) expected_size=$((250 << 30)) ;; # whatever one says
  esac
  server timeout 60 "$KUBLK" add -q "$queues" -d 128 "$@" >"$tmp/kublk" 2>&1 || true
  cat "$tmp/kublk" >>"$log"
  id_line=$(sed -n 's/^dev id \([0-9]*\):.*/\1/p' "$tmp/kublk")
  [ -n "$id_line" ] || return 1
  node=/dev/ublkb$id_line
  # It does not say when the driver gave it less than it had asked for.
  flags=$(sed -n 's/.* flags \(0x[0-9a-f]*\) .*/\1/p' "$tmp/kublk")
  (((flags & bits) == bits)) || { echo "its flags are $flags, without $bits" >>"$log" && return 1; }
}

stop_kublk() {
  [ -z "$node" ] || server timeout 30 "$KUBLK" del -n "${node#/dev/ublkb}" >>"$log" 2>&1
}

start_nbdkit() {
  local plugin=("$1")
  if [ "$1" = lua ]; then
    plugin+=("$here/nbdkit.lua")
    # Such a plugin cannot say itself that several connections may see it.
    [ "$queues" = 1 ] || plugin=(--filter=multi-conn "${plugin[@]}" multi-conn-mode=unsafe)
  fi
  modprobe nbd nbds_max=1 >>"$log" 2>&1 || return 1
  rm -f "$tmp/nbd"
  in_group server nbdkit --foreground --unix "$tmp/nbd" "${plugin[@]}" size="$size" >>"$log" 2>&1 &
  child=$!
  wait_until 20 socket_or_end && [ -S "$tmp/nbd" ] || return 1
  server nbd-client -unix "$tmp/nbd" /dev/nbd0 -b 512 -C "$queues" >>"$log" 2>&1 || return 1
  node=/dev/nbd0
}

socket_or_end() { [ -S "$tmp/nbd" ] || has_ended "$child"; }

stop_nbdkit() {
  [ -z "$node" ] || nbd-client -d "$node" >>"$log" 2>&1
  end_child
}

start_loop() {
  expected_queues=1 # however many one would like
  modprobe loop >>"$log" 2>&1
  node=$(losetup --find --show "$file" 2>>"$log")
}

stop_loop() {
  [ -z "$node" ] || losetup -d "$node" >>"$log" 2>&1
}

readonly null_blk=/sys/kernel/config/nullb/nullb_bench

start_null_blk() {
  local name=${null_blk##*/}
  {
    modprobe null_blk nr_devices=0
    mountpoint -q /sys/kernel/config || mount -t configfs configfs /sys/kernel/config
    mkdir "$null_blk"
    echo $((size >> 20)) >"$null_blk/size"
    echo 512 >"$null_blk/blocksize"
    echo "$queues" >"$null_blk/submit_queues"
    echo 0 >"$null_blk/poll_queues" # else it has one more
    echo 128 >"$null_blk/hw_queue_depth"
    echo 1 >"$null_blk/power"
  } >>"$log" 2>&1 || return 1
  node=/dev/$name
}

stop_null_blk() {
  [ ! -d "$null_blk" ] || rmdir "$null_blk" >>"$log" 2>&1
}

start_dm() {
  local table
  if ! start_null_blk || ! is_as_meant; then return 1; fi
  case $1 in
  flakey) table="0 $((size / 512)) flakey $node 0 60 0" ;; # up for ever
  delay) table="0 $((size / 512)) delay $node 0 0" ;;      # by 0 ms
  esac
  modprobe "dm-$1" >>"$log" 2>&1
  dmsetup create bench --noudevsync --table "$table" >>"$log" 2>&1 || return 1
  node=/dev/mapper/bench expected_queues=0 # bios go through it
  [ -b "$node" ] || dmsetup mknodes bench >>"$log" 2>&1
}

stop_dm() {
  ! dmsetup info bench >/dev/null 2>&1 || dmsetup remove --noudevsync --retry bench >>"$log" 2>&1
  stop_null_blk
}
