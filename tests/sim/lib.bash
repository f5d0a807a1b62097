# shellcheck shell=bash
# What tests of the program without a device share. $program is what is run.

# refused STATUS TEXT WORD...: the program exits with STATUS, prints nothing on
# stdout, and one line on stderr with TEXT in it.
refused() {
  local want=$1 text=$2
  shift 2
  run --separate-stderr -"$want" "$program" "$@"
  [ "$output" = "" ]
  # shellcheck disable=SC2154 # bats sets it
  [ "${#stderr_lines[@]}" -eq 1 ] || { echo "stderr: $stderr" && return 1; }
  [[ $stderr == "ublk-lua: "*"$text"* ]] || { echo "stderr: $stderr" && return 1; }
}
