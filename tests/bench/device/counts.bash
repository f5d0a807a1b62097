# shellcheck shell=bash
# What a ublk server asks of the kernel for each request: calls of io_uring_enter, SQEs, and other
# system calls, as the kernel counts them by thread in histograms on two tracepoints. In runs of
# their own, because a tracepoint takes time.

readonly tracing=/sys/kernel/tracing io_uring_enter=426
readonly sqe_event=$tracing/events/io_uring/io_uring_submit_req/trigger
readonly call_event=$tracing/events/raw_syscalls/sys_enter/trigger
readonly sqe_count=hist:keys=common_pid call_count=hist:keys=common_pid,id

# count NODE: 4 KiB random reads, 64 in flight.
count() {
  local requests
  client fio --name=warm --filename="$1" --allow_file_create=0 --ioengine=io_uring --direct=1 \
    --rw=write --bs=128k --iodepth=16 --size="$size" --output="$tmp/fio" >>"$log" 2>&1 || return 1
  start_counting || return 1
  client fio --name=count --filename="$1" --allow_file_create=0 --ioengine=io_uring --direct=1 \
    --rw=randread --bs=4k --iodepth=64 --size="$size" --norandommap --time_based \
    --runtime="${run_ms}ms" --output="$tmp/fio" --output-format=json >>"$log" 2>&1 || return 1
  requests=$(jq '.jobs[0].read.total_ios' "$tmp/fio")
  of_servers "$(dirname "$sqe_event")/hist" >"$tmp/sqes"
  of_servers "$(dirname "$call_event")/hist" >"$tmp/calls"
  stop_counting
  jq -nc --arg contender "$contender" --argjson requests "$requests" \
    --argjson sqes "$(awk '{ n += $NF } END { print n + 0 }' "$tmp/sqes")" \
    --argjson enters "$(awk -v id=$io_uring_enter '$2 == id { n += $NF } END { print n + 0 }' \
      "$tmp/calls")" \
    --argjson calls "$(awk '{ n += $NF } END { print n + 0 }' "$tmp/calls")" \
    '{ kind: "counts", contender: $contender, requests: $requests, sqes: $sqes, enters: $enters,
       other_calls: ($calls - $enters) }'
}

start_counting() {
  mountpoint -q "$tracing" || mount -t tracefs tracefs "$tracing"
  {
    echo "$sqe_count" >"$sqe_event"
    echo "$call_count" >"$call_event"
  } 2>>"$log"
}

stop_counting() {
  [ ! -e "$sqe_event" ] || ! grep -q '^hist' "$sqe_event" || echo "!$sqe_count" >"$sqe_event"
  [ ! -e "$call_event" ] || ! grep -q '^hist' "$call_event" || echo "!$call_count" >"$call_event"
}

# Lines such as "{ common_pid: 159, id: 426 } hitcount: 1234" of the servers' threads, bare.
of_servers() {
  sed -n 's/[{},:]/ /g; s/common_pid *\|id \|hitcount *//gp' "$1" |
    awk 'NR == FNR { ours[$1] = 1; next } $1 in ours' "$cgroups/server/cgroup.threads" -
}
