#!/usr/bin/env bats
# The program itself, without a device: what it prints, its exit status, and
# that each mistake is one line on stderr that says what and where.
bats_require_minimum_version 1.5.0

load lib

setup() {
  program=$PWD/${BUILD:-build}/ublk-lua
  examples=$PWD/examples
  cd "$BATS_TEST_TMPDIR" || return
}

@test "version is one line" {
  run --separate-stderr -0 "$program" --version
  [[ $output =~ ^ublk-lua\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
  [ "$stderr" = "" ]
}

@test "help goes to stdout and names each option and verb" {
  run --separate-stderr -0 "$program" --help
  [ "$stderr" = "" ]
  for word in "-e, --eval CHUNK " "-n, --id ID " "-q, --queues N " "-d, --depth N " "--seed N " \
    "--stats FILE " "--json " "-v, --verbose " "-h, --help " "--version " " features "; do
    [[ $output == *"$word"* ]] || { echo "no $word" && return 1; }
  done
  [ "$("$program" -h)" = "$output" ]
}

@test "help fits a terminal of 100 columns" {
  run -0 "$program" --help
  for line in "${lines[@]}"; do
    [ "${#line}" -le 100 ]
  done
}

@test "no word at all is a usage error" {
  refused 2 "a script is missing; see ublk-lua --help"
}

@test "an unknown option is a usage error" {
  refused 2 "--frobnicate: unknown option" --frobnicate x.lua
  refused 2 "-Z: unknown option" -Z x.lua
}

@test "an option after the script is a usage error" {
  refused 2 "--seed=1: options of ublk-lua go before the script" null.lua --seed=1
}

@test "a bad number is a usage error" {
  refused 2 "--queues 0: needs a whole number from 1 to 4096" -q 0 null.lua
}

@test "two dashes without a command are a usage error" {
  refused 2 "a command is missing" null.lua --
}

@test "a script that is not there is named" {
  refused 1 "no-such.lua: no such script" no-such.lua
  refused 1 "./no-such.lua: No such file or directory" ./no-such.lua
  refused 1 "no-such.lua: no such script" no-such.lua --help
}

@test "a folder is no script" {
  mkdir folder.lua
  refused 1 "folder.lua: Is a directory" folder.lua
}

@test "a pipe is no script, and is told what to write instead" {
  mkfifo pipe.lua
  for name in /dev/stdin - pipe.lua; do
    for verb in run check; do
      refused 1 "$name: a script is a file, and no pipe or device; for the text on stdin write" \
        "$verb" "$name" < <(echo 'return { size = "1M" }')
    done
    refused 1 "$name: a script is a file" "$name" --help < <(echo 'return { size = "1M" }')
  done
  run -0 bash -c "echo '{ size = \"1M\" }' | '$program' check -e \"\$(cat)\""
  echo 'return { size = "1M" }' >plain.lua # but a file that stdin comes from can be read again
  run -0 "$program" check /dev/stdin <plain.lua
}

@test "a syntax error has its file and line" {
  printf 'return {\n  size = = 1,\n}\n' >broken.lua
  refused 1 "broken.lua:2: unexpected symbol near '='" broken.lua
  refused 1 "broken.lua:2: unexpected symbol near '='" broken.lua --help
}

@test "an error while the script loads has its file and line" {
  printf '\nlocal x = nil\nlocal y = x.z\n' >broken.lua
  refused 1 "broken.lua:3: attempt to index local 'x'" broken.lua
}

@test "a script that returns no device is told what it must return" {
  echo 'return 5' >number.lua
  refused 1 "number.lua: the script returned a number; it must return a table" number.lua
}

@test "an unknown field is named with those that there are" {
  echo 'return { syze = "1G" }' >field.lua
  refused 1 'field.lua: unknown field "syze"; a device has ' field.lua
}

@test "a device without a size is told to have one" {
  echo 'return {}' >open.lua
  refused 1 'open.lua: the device needs a size, as in size = "1G"' open.lua
}

@test "a field out of its range is named with its limits" {
  echo 'return { size = "1G", block_size = 1000 }' >range.lua
  refused 1 "range.lua: block_size = 1000: a power of two from 512 to " range.lua
}

@test "a backing file that is not there is named" {
  echo 'return { backing = require "ublk".file "/nonexistent/disk" }' >file.lua
  refused 1 'ublk.file("/nonexistent/disk"): No such file or directory' file.lua
}

@test "an unknown script option is a usage error that lists the known ones" {
  refused 2 'faulty.lua: unknown option "rat"; it has errno, file, op, rate, seed, size' \
    faulty.lua rat=1%
}

@test "a bad value of a script option is a usage error" {
  refused 2 "faulty.lua: rate=2: needs a share from 0 to 1 such as 1%" faulty.lua rate=2
  refused 2 "null.lua: size=big: needs a size such as 4096" null.lua size=big
  refused 2 "faulty.lua: op=erase: needs one of read, write, flush" faulty.lua op=erase
}

@test "a word that is no key=value is a usage error" {
  refused 2 'null.lua: "1G": options of the script are written key=value' null.lua 1G
}

@test "each example has help that names its options" {
  for script in "$examples"/*.lua; do
    run --separate-stderr -0 "$program" "$script" --help
    [ "$stderr" = "" ]
    [[ ${lines[0]} == "${script##*/}: "* ]] || { echo "$script: ${lines[0]}" && return 1; }
    [[ $output == *"usage: ublk-lua [options] ${script##*/}"* ]]
    # The keys of its ublk.options { … }, at the start of their lines.
    while read -r key; do
      [[ $output == *$'\n'"  $key="* ]] || { echo "$script: no $key in: $output" && return 1; }
    done < <(sed -n '/ublk.options *{/,/^}/s/^  \([a-z_]*\) = {.*/\1/p' "$script")
  done
}

@test "an example is found by its bare name from anywhere" {
  run --separate-stderr -0 "$program" faulty.lua --help
  [[ ${lines[0]} == "faulty.lua: "* ]]
}

@test "a script in this folder comes before an example" {
  printf -- '-- faulty.lua: mine\nreturn { size = "1M" }\n' >faulty.lua
  run --separate-stderr -0 "$program" faulty.lua --help
  [ "${lines[0]}" = "faulty.lua: mine" ]
}

@test "a chunk has help that names its options" {
  run --separate-stderr -0 "$program" -e '-- a disk
    local o = ublk.options { at = { type = "range", default = "1M..", help = "where" } }
    return {}' --help
  [ "$stderr" = "" ]
  [ "${lines[0]}" = "a disk" ]
  [ "${lines[1]}" = "usage: ublk-lua [options] -e CHUNK [key=value ...]" ]
  [ "${lines[2]}" = "  at=SIZE..SIZE  where (default 1M..)" ]
}

@test "mistakes of a chunk are told by the name -e" {
  refused 1 "-e:1: unexpected symbol near '='" -e '{ size = = }'
  refused 1 "-e:2: attempt to index local 'x'" -e $'local x\nreturn x.y'
  refused 1 "-e: the script returned a number" run -e 5
  refused 1 '-e: the device needs a size, as in size = "1G"' -e '{}'
  refused 1 "-e: block_size = 1000: a power of two" -e '{ size = "1G", block_size = 1000 }'
  refused 2 '-e: unknown option "a"; it has none' -e '{ size = "1G" }' a=1
  refused 2 "a.lua: -e CHUNK is the script" -e '{ size = "1G" }' a.lua
}

@test "a chunk finds modules in this folder" {
  echo 'error("found", 0)' >mine.lua
  refused 1 "found" -e 'require "mine"'
}

@test "an undeclared variable is named with its file and line" {
  printf 'local n = 0\ncount = n\nreturn { size = "1G" }\n' >loose.lua
  refused 1 'loose.lua:2: assignment to undeclared variable count: write "local count"' loose.lua
  printf 'return { size = sise }\n' >loose.lua
  refused 1 'loose.lua:1: undeclared variable sise: write "local sise"' loose.lua
}

@test "without the driver one line says modprobe" {
  [ ! -e /dev/ublk-control ] || skip "this kernel has the ublk driver loaded"
  refused 1 "modprobe ublk_drv" null.lua
  refused 1 "modprobe ublk_drv" null.lua -- true
  refused 1 "modprobe ublk_drv" -e '{ size = "1G", write = function() return "EIO" end }' -- true
  refused 1 "modprobe ublk_drv" features
  refused 1 "modprobe ublk_drv" features --json
}

@test "a closed stdout does not hide a failure" {
  run -1 bash -c "'$program' no-such.lua >&-"
}
