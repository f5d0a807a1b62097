# Makes the guest's lines of JSON into what --json keeps: minimum, median and maximum of each cell,
# of its ratio to C null in the same round, and of each comparison, with "holds", "misses", "noise" or "too few".
# Takes the lines as an array, and as $comparisons and $workloads the tables in comparisons.bash
# and workloads.bash.

def spread: sort | { min: first, median: (if length % 2 == 1 then .[length / 2 | floor]
    else (.[length / 2 - 1] + .[length / 2]) / 2 end), max: last };

def of($kind): map(select(.kind == $kind) | del(.kind));

def words: [splits("\\s+") | select(length > 0)];

# The spread of what both did in the same round; null when one of them is missing.
def ratio($runs; $ours; $theirs; $workload):
  [ $runs[$ours][$workload] // {}, $runs[$theirs][$workload] // {} ] as [$a, $b]
  | [ $a | to_entries[] | select($b[.key]) | .value / $b[.key] ]
  | if length > 0 then spread + { rounds: length } else null end;

# "same": the ratio is 1 as far as one can see. Rounds that differ twofold have seen something else,
# and one or two may have; where instructions are counted, one says all.
def verdict($limit; $least):
  if .rounds < $least then "too few"
  elif .max > 2 * .min then "noise"
  elif $limit == "same" then if (.max >= 1 and .min <= 1) or .median >= 1 then "holds" else "misses" end
  else if .median >= ($limit | tonumber) then "holds" else "misses" end end;

of("run") as $list
| (reduce $list[] as $r ({}; .[$r.contender][$r.workload][$r.round | tostring] = $r.iops)) as $runs
| (of("host")[0].icount // false) as $icount
| of("guest")[0] + {
  rounds: ($list | map(.round) | max),
  icount: $icount,
  others: (of("host")[0] | if . then .others / .seconds / .cpus else null end),
  workloads: [ $workloads | split("\n")[] | words | select(length == 6)
    | { name: .[0], rw: .[1], block: .[2], depth: (.[3] | tonumber), jobs: (.[4] | tonumber),
        queues: (.[5] | tonumber) } ],
  cells: [ $list | group_by([.contender, .workload])
    | sort_by(.[0].contender as $c | $list | map(.contender) | index($c))[] | .[0] as $r | {
    contender: $r.contender, workload: $r.workload, iops: (map(.iops) | spread),
    mib: (map(.mib) | spread), latency_us: (map(.latency_us) | spread),
    over_null: ratio($runs; $r.contender; "null"; $r.workload) } ],
  comparisons: [ $comparisons | split("\n")[] | words | select(length > 4) as $c
    | $c[4:][] | ratio($runs; $c[0]; $c[1]; .) as $ratio | {
      ours: $c[0], theirs: $c[1], workload: ., limit: $c[2], aim: $c[3], ratio: $ratio,
      verdict: (if $ratio then $ratio | verdict($c[2]; if $icount then 1 else 3 end) else "not measured" end) } ],
  counts: (of("counts") | map(. + {
    sqes_per_request: (.sqes / .requests), enters_per_request: (.enters / .requests),
    other_calls_per_request: (.other_calls / .requests) })),
  left_out: of("left out"),
  failed: of("failed"),
  runs: $list
}
