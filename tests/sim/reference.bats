#!/usr/bin/env bats
# lua/README.md, the reference of the script API: its examples run, as those of the other READMEs,
# and it names everything that a script can name.
bats_require_minimum_version 1.5.0

setup() {
  top=$(realpath "$BATS_TEST_DIRNAME/../..")
  build=$top/${BUILD:-build}
  reference=$top/lua/README.md
  cd "$BATS_TEST_TMPDIR" || return
}

# serve SCRIPT: it gets a workload; out is the JSON of that, log what it said.
serve() {
  "$build/ublk-lua" check --json --requests 2000 "$1" >out 2>log
}

# blocks FILE: each Lua block as block-LINE.lua, on the lines that it has in FILE. One that returns
# no device gets one: it runs as a task, for which the first request waits.
blocks() {
  awk '
    function end(name) {
      if (whole) printf "%s%s", gap, text >name
      else printf "%s%s%s%s", head, gap, text, tail >name
      close(name)
    }
    BEGIN {
      head = "local ublk = require \"ublk\" ublk.spawn(function()"
      tail = "print \"fragment done\" ublk.signal \"done\" end)\n" \
        "return { size = \"64M\", handler = function()\n" \
        "ublk.wait \"done\" ublk.signal \"done\" end }\n"
    }
    $0 == "```lua" { gap = text = ""; inside = 1; whole = 0; line = NR; next }
    $0 == "```" && inside { inside = 0; for (i = 1; i <= line; i++) gap = gap "\n"
      end("block-" line ".lua") }
    inside { text = text (/^#!/ ? "" : $0) "\n"; if ($0 ~ /^return /) whole = 1 }' "$1"
}

# runs BLOCK: it loads, answers all requests, and nothing in it goes wrong.
runs() {
  serve "$1" || return 1
  jq -e '([.ops[].requests] | add == 2000) and .unanswered == 0 and .wrong_results == 0' out ||
    return 1
  ! grep -E 'failed|no verdict|refused' log || return 1
  ! grep -q '"fragment done"' "$1" || grep -q 'fragment done' log
}

@test "each Lua block of the reference and of the READMEs runs" {
  local file block count=0
  for file in "$reference" "$top/lua/metadata.md" "$top/README.md" "$top/examples/README.md"; do
    blocks "$file"
    for block in block-*.lua; do
      runs "$block" >/dev/null || {
        echo "$file: $block" && cat log out
        return 1
      }
      count=$((count + 1))
    done
    rm block-*
  done
  [ "$count" -gt 10 ]
}

@test "a block that does not load, fails, or says that something is wrong is seen" {
  local text
  for text in 'local x = = 1' 'assert(false)' 'ublk.sleep "soon"' 'return { size = "x" }' \
    'return { size = "1M", read = function() error "x" end }' 'ublk.hold "x"' \
    'return { size = "1M", read = function() return 5 end }'; do
    printf '%s\n' '```lua' "$text" '```' >doc.md
    blocks doc.md
    ! runs block-1.lua >/dev/null || { echo "not seen: $text" && return 1; }
  done
}

# A line for each public name: its section of the reference (- for any), and how it stands there
# after a backtick.
names() {
  cat >names.lua <<'END'
local ublk = require "ublk"
local device, layers = require "ublk.device", require "ublk.layers"
local function tell(section, format, names)
  for name in pairs(names) do
    if not name:find "^__" then print(section .. "\t" .. format:format(name)) end
  end
end
local function set(text)
  local names = {}
  for name in text:gmatch "[%w_]+" do names[name] = true end
  return names
end
-- What the code accepts, as its refusal of something else tells.
local function accepted(fn, ...)
  local _, message = pcall(fn, ...)
  return set(message:match "; there are (.*)" or message:match "; a device has (.*)")
end
tell("-", "ublk.%s", ublk)
tell("The request", "%s`", ublk.flags)
tell("The backing", "ublk.backing:%s(", ublk.backing)
tell("Tasks", "task:%s(", getmetatable(ublk.spawn(print)).__index)
tell("A script and its device", "%s`", accepted(device.describe, { none = 1 }, {}))
tell("Layers and ranges", "%s`", set(table.concat(layers.fields, " ")))
tell("Options", "%s`", accepted(ublk.options, { a = { type = "nonsense" } }))
tell("Options", "%s`", accepted(ublk.options, { a = { nonsense = 1 } }))
tell("Errors", "\"%s\"`", require "ublk.mistakes".policies)
tell("The request", "req.%s`", set(os.getenv "REQ_FIELDS"))
tell("The request", "req:%s(", set(os.getenv "REQ_METHODS"))
tell("Counting", "counter:%s(", set(os.getenv "COUNTER_METHODS"))
tell("Counting", "histogram:%s(", set(os.getenv "HISTOGRAM_METHODS"))
tell("Several queues", "s:%s(", set(os.getenv "SHARED_METHODS"))
END
  # Not a script's own: what the verdict is written to, the data, which is an argument, and what a
  # method tells.
  REQ_FIELDS=$(sed -n '/^struct ul_req {/,/^}/{s,/\*.*,,;s/.*[ *]\([a-z]*\);.*/\1/p}' \
    "$top/core/api.h" | grep -vxE 'verdict|marks|shown|pad|buf|placed') \
  REQ_METHODS=$(functions methods wait) COUNTER_METHODS=$(functions Counter counters) \
  HISTOGRAM_METHODS=$(functions Histogram counters) SHARED_METHODS=$(functions Shared shared) \
    "$build/tests/lua-host" names.lua
}

# functions TABLE MODULE: the names of those that are defined there.
functions() {
  sed -n "s/^function $1[.:]\([a-z_]*\)(.*/\1/p" "$top/lua/ublk/$2.lua"
}

# missing FILE: those of the names on stdin that it does not have.
missing() {
  local section name
  while IFS=$'\t' read -r section name; do
    if [ "$section" = - ]; then
      grep -qE "\`${name/./\\.}([^a-z_]|\$)" "$1"
    else
      sed -n "/^## $section\$/,/^## /p" "$1" | grep -qF "\`$name"
    fi || echo "$section: $name"
  done
}

@test "every public name is in the reference" {
  names >all
  [ "$(wc -l <all)" -gt 100 ]
  run missing "$reference" <all
  [ "$output" = "" ] || { echo "$output" && return 1; }
}

@test "a public name of each kind that is not in the reference is told" {
  names >all
  run missing /dev/null <all
  [ "${#lines[@]}" -eq "$(wc -l <all)" ]
  local section name
  while IFS=$'\t' read -r section name; do
    sed "s/\`${name//./\\.}//g" "$reference" >without.md
    [ "$(missing without.md <<<"$section"$'\t'"$name")" != "" ] || {
      echo "not told: $name"
      return 1
    }
  done <all
}
