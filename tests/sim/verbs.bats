#!/usr/bin/env bats
# The verbs for running devices, where there is none: each misuse is one line
# on stderr and has its exit status. With devices: tests/device/verbs.bats.
bats_require_minimum_version 1.5.0

load lib

setup() { program=$PWD/${BUILD:-build}/ublk-lua; }

@test "a verb without its device says so" {
  for verb in info stats stop; do
    refused 2 "$verb: which device? An ID is missing; usage: ublk-lua $verb ID" "$verb"
  done
}

@test "what is no device is told what to write" {
  for id in x ublkb /dev/sda -1x ublkb0p1 /dev/ublkb99999999 0x1 ''; do
    refused 2 "$id: no device; write its number or node: 0, ublkb0 or /dev/ublkb0" info -- "$id"
  done
}

@test "a device that is not there is told, in each way to write it" {
  for id in 1048570 ublkb1048570 /dev/ublkb1048570; do
    refused 1 "1048570: no device of ublk-lua has this number; see ublk-lua list" info "$id"
  done
  [ -e /sys/class/ublk-char ] || refused 1 "1048570: there is no such device" stop 1048570
}

@test "a word too many is refused" {
  refused 2 "info: unexpected word 5; usage: ublk-lua info ID" info 1048570 5
  refused 2 "list: unexpected word 5; usage: ublk-lua list" list 5
  refused 2 "stop: unexpected word 5" stop --all 5
}

@test "words and options of the verbs that ask the script are checked before anything is asked" {
  refused 2 "eval: a word is missing" eval 1048570
  refused 2 "eval: unexpected word b" eval 1048570 a b
  refused 2 "release: a word is missing" release 1048570
  refused 2 "mark: a word is missing" mark 1048570
  refused 2 "set: rate: options are written key=value" set 1048570 rate
  refused 2 "set: a is given twice" set 1048570 a=1 a=2
  refused 2 "--timeout 0: needs seconds" hold --timeout 0 1048570
  refused 2 "--timeout 5x: needs seconds" hold --timeout 5x 1048570
  refused 2 "--queue x: needs a number, or all" hold --queue x 1048570
  refused 2 "an argument is missing for --queue" hold 1048570 --queue
  refused 2 "is no UTF-8" eval 1048570 $'\xff'
  refused 2 "is no UTF-8" release 1048570 name $'\xff'
  refused 1 "1048570: no device of ublk-lua has this number" eval 1048570 1
}

@test "a count of frames is a number, and for --watch" {
  refused 2 "--count 0: needs a whole number from 1" stats 1048570 --watch --count 0
  refused 2 "stats: --count is for --watch" stats 1048570 --count 5
  refused 1 "1048570: no device of ublk-lua" stats 1048570 --watch
}

@test "an option that the verb has not is refused" {
  refused 2 "list: unknown option --all" list --all
  refused 2 "info: unknown option --frobnicate" info --frobnicate 0
  refused 2 "--queues: not an option of list" -q 2 list
}

@test "each verb has help, and --help names each" {
  run --separate-stderr -0 "$program" --help
  help=$output
  for verb in $("$program" --help | sed -n '/^verbs/,$s/^  \([a-z]*\) .*/\1/p'); do
    run --separate-stderr -0 "$program" "$verb" --help
    [[ ${lines[0]} == "usage: ublk-lua $verb"* ]]
    [[ $help == *$'\n'"  $verb "* ]]
  done
  [[ $help == *$'\n'"  list "* ]]
}

@test "without a device lists are empty" {
  [ ! -e /sys/class/ublk-char ] || skip "this kernel has the ublk driver loaded"
  [ ! -e /run/ublk-lua ] || skip "somebody runs a device here"
  run --separate-stderr -0 "$program" list
  [ "$output$stderr" = "" ]
  for verb in list clean "stop --all"; do
    # shellcheck disable=SC2086 # words
    run --separate-stderr -0 "$program" $verb --json
    [ "$output" = "[]" ]
    [ "$stderr" = "" ]
  done
  run --separate-stderr -0 "$program" --json list
  [ "$output" = "[]" ]
}
