# Writes the summary of summary.jq as text: for each workload every contender's I/O a second and
# its ratio to C null, then the comparisons with their limits, then the counts, each figure as
# minimum, median and maximum of the rounds.

def pad($n): tostring | . + (" " * ([$n - length, 0] | max));
def lpad($n): tostring | (" " * ([$n - length, 0] | max)) + .;

def fixed($digits):
  . as $x | pow(10; $digits) as $p | ($x * $p | round) as $n
  | if $digits == 0 then "\($n)"
    else "\($n / $p | floor).\(($n % $p + $p) | tostring | .[1:])" end;

def three($digits; $n): [.min, .median, .max] | map(fixed($digits) | lpad($n)) | join(" ");

def count($noun): "\(.) \($noun)" + if . == 1 then "" else "s" end;

def title:
  { randread: "random read", randwrite: "random write", read: "sequential read",
    write: "sequential write" }[.rw] as $what
  | "\(.name): \(.block | ascii_upcase | sub("K"; " KiB")) \($what), \(.jobs | count("job")) of depth"
    + " \(.depth), \(.queues | count("queue"))";

def workload($w):
  [ .cells[] | select(.workload == $w.name) ]
  | select(length > 0)
  | "", ($w | title),
    ("  " + ("" | pad(22)) + ("I/O a second: min median max" | pad(32)) + "over C null"),
    (.[] | "  " + (.contender | pad(22)) + (.iops | three(0; 8)) + "    "
      + if .over_null then .over_null | three(2; 6) else "" end);

def comparison:
  "  " + (.ours | pad(21)) + (.theirs | pad(27)) + (.workload | pad(17))
  + if .ratio then .ratio | three(2; 6) else "" | pad(20) end
  + "   " + (.limit | pad(6)) + (.aim | pad(6)) + .verdict;

def counted:
  "  " + (.contender | pad(22)) + (.enters_per_request | fixed(3) | lpad(8))
  + (.sqes_per_request | fixed(3) | lpad(8)) + (.other_calls_per_request | fixed(3) | lpad(14));

. as $all
| "Devices: Linux \(.kernel), \(.cpus) CPUs; \(.rounds | count("round")) of \(.run_ms) ms",
  (select(.icount)
    | "The clock counts instructions, 1 ns each, of clients, kernel and servers together."),
  (select(.icount | not) | .others | select(.) | "Other programs took \([. * 100, 0] | max | fixed(0)) % of the machine meanwhile."),
  "With one queue servers and kernel workers are on CPU 0, clients on CPU 1; with two on both.",
  "null_blk and dm-* work in the client's own context, on its CPU; with two queues loop has one.",
  (.workloads[] as $w | $all | workload($w)),
  (select(.comparisons != []) | "",
    "Ours over theirs" + ("" | pad(51)) + "   min median    max   least aim",
    (.comparisons[] | comparison)),
  (select(.counts != []) | "",
    "For each request, 4 KiB random read at depth 64",
    "  " + ("" | pad(22)) + "  enters    SQEs   other calls",
    (.counts[] | counted)),
  (select(.left_out != []) | "", (.left_out[] | "left out: \(.contender): \(.why)"))
