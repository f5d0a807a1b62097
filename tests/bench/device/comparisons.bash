# shellcheck shell=bash
# What is held against what: a line each with ours, theirs, the least ratio of the first to the
# second, the ratio that is aimed at, and the workloads. "same" asks only that a ratio of 1 lies
# within the spread. Used in the guest, which measures at least these, and for the summary.

comparisons() {
  same_mode
  cat <<'END'
pass  null        0.95  -     randread-64 randwrite-64
pass  null        0.93  -     randread-1 randwrite-1
other null        same  -     randread-64 randwrite-64 randread-1 randwrite-1
pass  nbdkit-lua  5     -     randread-64
mem   null        0.95  -     randread-64 randwrite-64
mem-copy null:copy 0.95 -     randread-64 randwrite-64
mem   loop        0.91  1.0   randread-64-j4 randwrite-64-j4
mem   loop        0.39  0.7   randread-64 randwrite-64
END
}

# Beside kublk, wherever both take data the same way.
same_mode() {
  local mode
  while read -r mode _; do
    echo "null:$mode kublk-null:$mode 1.00 1.05 randread-64 randwrite-64"
    echo "file:$mode kublk-loop:$mode 1.00 -    randread-64 randwrite-64"
    echo "file:$mode kublk-loop:$mode 1.00 2    read-128k write-128k"
    [ "$mode" != batch ] || echo "null:batch null:copy 1.00 - randread-64 randwrite-64"
  done < <(modes)
}
