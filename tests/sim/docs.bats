#!/usr/bin/env bats
# What the documentation shows is what the program does: its scripts and commands are real, its
# options and links are there. reference.bats has the script API.

setup() {
  bats_require_minimum_version 1.5.0
  top=$(realpath "$BATS_TEST_DIRNAME/../..")
  build=$top/${BUILD:-build}
  cd "$BATS_TEST_TMPDIR" || return
}

# blocks FILE LANGUAGE: each fenced block of that language as block-N.
blocks() {
  awk -v language="$2" '
    $0 == "```" language { n++; inside = 1; next }
    $0 == "```" { inside = 0 }
    inside { print >("block-" n) }' "$1"
}

@test "the script of the README's terminal scene fails every tenth write, and its output is real" {
  sed -n '/^\$ cat every-tenth.lua/,/^\$ sudo/p' "$top/README.md" | sed '1d;$d' >every-tenth.lua
  "$build/ublk-lua" check --json --requests 3000 every-tenth.lua >out
  jq -e '.ops.write | .errors == (.requests / 10 | floor)' out
}

@test "the README's report of check is real, but for the costs" {
  sed -n '/^\$ ublk-lua check every-tenth.lua/,/^```/p' "$top/README.md" | sed '1d;$d' >shown
  sed -n '/^\$ cat every-tenth.lua/,/^\$ sudo/p' "$top/README.md" | sed '1d;$d' >every-tenth.lua
  "$build/ublk-lua" check every-tenth.lua >out
  # Columns ns and "C alone" are the machine's.
  costless() { sed -E '/^  (read|write|flush|discard)/s/^(.{51}).{18}/\1/'; }
  diff <(costless <shown) <(costless <out)
}

@test "the README's bad spot: ENODATA there, nowhere else, and healed by a write" {
  blocks "$top/README.md" lua
  mv block-1 badspot.lua
  run "$build/ublk-lua" badspot.lua --help
  [ "$status" -eq 0 ]
  [[ $output == *"at=SIZE"*"where the bad 4 KiB are (default 1M)"* ]]
  local seed
  for seed in 1 2 3 4 5 6 7 8; do
    "$build/ublk-lua" check --json --workload $seed --requests 3000 badspot.lua \
      at=0 size=64K >"out-$seed"
  done
  # Some see the spot before a write heals it, and then for a moment only.
  jq -es 'map(.ops.read.errors) | max > 0 and max < 100' out-*
  jq -es 'map(.ops.write.errors) | max == 0' out-*
}

@test "the cookbook's spots: one read in a hundred fails, in the range alone, each time the same" {
  sed -n '/^-- spots.lua/,/^```/p' "$top/examples/README.md" | sed '$d' >spots.lua
  local range
  for range in all 0..1K 63M..; do
    "$build/ublk-lua" check --json --seed 1 --requests 20000 spots.lua range=$range >"$range"
    "$build/ublk-lua" check --json --seed 2 --requests 20000 spots.lua range=$range >again
    [ "$(jq .digest "$range")" = "$(jq .digest again)" ]
    jq -e '.ops | del(.read) | [.[].errors] | add == 0' "$range"
  done
  jq -e '.ops.read | .errors / .requests > 0.005 and .errors / .requests < 0.015' all
  jq -e '.ops.read | .scripted < .requests / 10 and .errors <= .scripted' 63M..
}

@test "every option of --help is in the README, and the README has no other" {
  options() { grep -oE -- '--[a-z][a-z-]*' | sort -u; }
  local verb
  {
    "$build/ublk-lua" --help && "$build/ublk-lua" check --help
    for verb in $("$build/ublk-lua" --help | sed -n '/^verbs/,$s/^  \([a-z]*\) .*/\1/p'); do
      "$build/ublk-lua" "$verb" --help
    done
  } | options >told
  sed -n '/^## The command/,/^## /p' "$top/README.md" | options >documented
  diff told documented
}

@test "every link of the READMEs is to a file and a section that are there" {
  local file link target section count=0
  for file in README.md lua/README.md examples/README.md core/README.md; do
    while read -r link; do
      target=$top/$(dirname "$file")/${link%%#*}
      [[ $link != \#* ]] || target=$top/$file
      [ -e "$target" ] || { echo "$file: no file $link" && return 1; }
      section=${link#*#}
      [[ $link != *\#* ]] || sed -n 's/^##* //p' "$target" | tr ' [:upper:]' '-[:lower:]' |
        tr -cd 'a-z0-9_\n-' | grep -qx -e "$section" ||
        { echo "$file: no section $link" && return 1; }
      count=$((count + 1))
    done < <(grep -oE '\]\([^)]*\)' "$top/$file" | sed 's/^](//; s/)$//' | grep -v '^http')
  done
  [ "$count" -gt 20 ]
}

@test "the README's one-liner is a chunk that loads" {
  local line
  line=$(sed -n 's/^sudo ublk-lua -e \(.*\) -- sh -c .*/\1/p' "$top/README.md")
  [ "$line" != "" ]
  run bash -c "'$build/ublk-lua' -e $line --help"
  [ "$status" -eq 0 ]
  [ "$output" = "usage: ublk-lua [options] -e CHUNK" ]
}

@test "every example is in examples/README.md, and has a line that says what it is" {
  local script
  for script in "$top"/examples/*.lua; do
    grep -q "\[$(basename "$script")\]" "$top/examples/README.md"
    sed -n 2p "$script" | grep -q "^-- $(basename "$script"): "
  done
}
