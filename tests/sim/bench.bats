#!/usr/bin/env bats
# What scripts/bench makes of a guest's lines, without a guest: the figures, the verdicts, and that
# the tables it goes by name nothing that is not there.

bats_require_minimum_version 1.5.0

setup() {
  cd "$BATS_TEST_DIRNAME/../.." || exit
  said=$BATS_TEST_TMPDIR/lines
  echo '{"kind":"guest","kernel":"7.3.4","cpus":2,"run_ms":500}' >"$said"
}

# rounds CONTENDER WORKLOAD IOPS…: a line for each round.
rounds() {
  local contender=$1 workload=$2 round=0 iops
  shift 2
  for iops; do
    echo "{\"kind\":\"run\",\"round\":$((++round)),\"contender\":\"$contender\"," \
      "\"workload\":\"$workload\",\"iops\":$iops,\"mib\":1,\"latency_us\":1}"
  done >>"$said"
}

summarize() { scripts/bench --lines "$said" --json "$BATS_TEST_TMPDIR/json"; }

holds() { jq -e ".device | $1" "$BATS_TEST_TMPDIR/json" >&2; }

@test "minimum, median and maximum, and ratios to the same round of the other" {
  rounds null randread-64 100 300 200
  rounds pass randread-64 90 330 120
  summarize >&2
  holds '.cells[1] | .contender == "pass" and .iops == { min: 90, median: 120, max: 330 }'
  holds '.cells[1].over_null == { min: 0.6, median: 0.9, max: 1.1, rounds: 3 }'
  holds '.comparisons[] | select(.ours == "pass" and .theirs == "null"
    and .workload == "randread-64") | .ratio.median == 0.9 and .verdict == "misses"'
}

@test "one round says nothing, but where instructions are counted" {
  rounds null randread-64 100
  rounds mem randread-64 99
  summarize >&2
  holds '.comparisons[] | select(.ours == "mem" and .theirs == "null"
    and .workload == "randread-64") | .verdict == "too few"'
  echo '{"kind":"host","cpus":2,"seconds":1,"others":0,"icount":true}' >>"$said"
  summarize >&2
  holds '.comparisons[] | select(.ours == "mem" and .theirs == "null"
    and .workload == "randread-64") | .verdict == "holds"'
}

@test "a comparison holds, misses, is noise, or was not measured" {
  rounds null randread-64 100 100 100
  rounds null randwrite-64 100 100 100
  rounds mem randread-64 94 95 96
  rounds other randread-64 80 90 110
  rounds other randwrite-64 80 90 99
  rounds null randwrite-1 100 100 100
  rounds pass randwrite-1 80 120 170
  rounds other randread-1 80 120 100
  summarize >&2
  holds '.comparisons[] | select(.ours == "mem" and .theirs == "null"
    and .workload == "randread-64") | .verdict == "holds"'
  holds '.comparisons[] | select(.ours == "other" and .workload == "randread-64")
    | .verdict == "holds"'
  holds '.comparisons[] | select(.ours == "other" and .workload == "randwrite-64")
    | .verdict == "misses"'
  holds '.comparisons[] | select(.ours == "pass" and .workload == "randwrite-1")
    | .verdict == "noise"'
  holds '.comparisons[] | select(.ours == "other" and .workload == "randread-1")
    | .verdict == "not measured"'
}

@test "the table has a line for each contender, its counts and what was left out" {
  rounds null randread-64 1234 1234 1234
  cat >>"$said" <<'END'
{"kind":"counts","contender":"null","requests":1000,"sqes":1000,"enters":125,"other_calls":3}
{"kind":"left out","contender":"kublk","why":"no path"}
{"kind":"host","cpus":2,"seconds":100,"others":50}
END
  run -0 summarize
  [[ $output == *"Linux 7.3.4, 2 CPUs; 3 rounds of 500 ms"* ]]
  grep -E '^  null +1234 +1234 +1234 +1\.00 +1\.00 +1\.00$' <<<"$output"
  grep -E '^  null +0\.125 +1\.000 +0\.003$' <<<"$output"
  grep -Fx 'left out: kublk: no path' <<<"$output"
  grep -Fx 'Other programs took 25 % of the machine meanwhile.' <<<"$output"
}

@test "a contender that failed is an error, after the table" {
  rounds null randread-64 1
  echo '{"kind":"failed","contender":"mem","queues":1,"what":"did not start","log":""}' >>"$said"
  run -1 summarize
  [[ $output == *"null "*"not all could be measured"* ]]
}

@test "every comparison names contenders and workloads that there are" {
  local ours theirs names word
  . tests/bench/device/contenders.bash
  . tests/bench/device/workloads.bash
  . tests/bench/device/comparisons.bash
  KUBLK=/somewhere contenders >"$BATS_TEST_TMPDIR/contenders"
  workloads >"$BATS_TEST_TMPDIR/workloads"
  comparisons >"$BATS_TEST_TMPDIR/comparisons"
  [ "$(wc -l <"$BATS_TEST_TMPDIR/comparisons")" -gt 20 ]
  while read -r ours theirs _ _ names; do
    for word in "$ours" "$theirs"; do
      grep "^$word " "$BATS_TEST_TMPDIR/contenders" ||
        { echo "no contender $word" >&2 && return 1; }
    done
    for word in $names; do
      grep "^$word " "$BATS_TEST_TMPDIR/workloads" ||
        { echo "no workload $word" >&2 && return 1; }
    done
  done <"$BATS_TEST_TMPDIR/comparisons"
}
