# shellcheck shell=bash
# What is done to each of them: a line each, and fio, which does it. The columns are a name, fio's
# pattern and block size, requests in flight for each job, jobs, and hardware queues.

workloads() {
  cat <<'END'
randread-1       randread   4k    1  1  1
randwrite-1      randwrite  4k    1  1  1
randread-32      randread   4k   32  1  1
randwrite-32     randwrite  4k   32  1  1
randread-64      randread   4k   64  1  1
randwrite-64     randwrite  4k   64  1  1
read-128k        read       128k 16  1  1
write-128k       write      128k 16  1  1
randread-64-j4   randread   4k   64  4  1
randwrite-64-j4  randwrite  4k   64  4  1
randread-64-q2   randread   4k   64  2  2
randwrite-64-q2  randwrite  4k   64  2  2
randread-64-j4q2 randread   4k   64  4  2
read-128k-q2     read       128k 16  2  2
write-128k-q2    write      128k 16  2  2
END
}

# fio_jobs NODE CPUS NAME…: a job file. All contenders are first written in whole, so that none
# answers from holes; that, and the ramp before each measurement, also warms up what compiles.
# With a queue for each of several CPUs each job is to stay on one, so that no queue is idle.
fio_jobs() {
  local node=$1 cpus=$2 name rw bs depth jobs queues
  shift 2
  cat <<END
[global]
filename=$node
allow_file_create=0
ioengine=io_uring
direct=1
thread
size=$size
cpus_allowed=$cpus
cpus_allowed_policy=split
group_reporting
random_generator=tausworthe64
norandommap
[fill]
rw=write
bs=128k
iodepth=16
END
  while read -r name rw bs depth jobs queues; do
    [[ " $* " == *" $name "* ]] || continue
    printf '[%s]\nstonewall\nrw=%s\nbs=%s\niodepth=%s\nnumjobs=%s\n' \
      "$name" "$rw" "$bs" "$depth" "$jobs"
    printf 'time_based\nramp_time=%sms\nruntime=%sms\n' "$ramp_ms" "$run_ms"
  done < <(workloads)
}

# One line of JSON for each workload of fio's report $1.
fio_results() {
  jq -c --argjson round "$round" --arg contender "$contender" '
    .jobs[] | select(.jobname != "fill") | .error as $error
    | .jobname as $workload | (if .read.total_ios > 0 then .read else .write end) | {
        kind: "run", round: $round, contender: $contender, workload: $workload,
        error: $error,
        iops: .iops, requests: .total_ios, mib: (.bw_bytes / 1048576),
        latency_us: (.clat_ns.mean / 1000)
      }' "$1"
}
