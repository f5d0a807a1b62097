#!/usr/bin/env bats
# Many seeds over the simulated transport, with the model of what the data should be. ROUNDS says
# how many. Part of `make soak`; the short form is tests/sim/examples.bats.

top=$(realpath "$BATS_TEST_DIRNAME/../..")
sim_run=$top/${BUILD:-build}/tests/sim-run
rounds=${ROUNDS:-200}

many_seeds() {
  local seed
  for ((seed = 0; seed < rounds; seed++)); do
    echo "seed $seed" >&2 # bats shows it when the next line fails
    "$sim_run" -n 20000 -b $((seed % 64 + 1)) -s $seed --seed $seed "$@" >&2
  done
}

@test "ramdisk.lua: the data of every seed is right" { many_seeds "$top/examples/ramdisk.lua"; }

@test "faulty.lua on every op: what failed changed nothing" {
  many_seeds "$top/examples/faulty.lua" op=any rate=10%
}

@test "faulty.lua over a file" {
  truncate -s 64M "$BATS_TEST_TMPDIR/disk"
  local seed
  for ((seed = 0; seed < rounds / 4; seed++)); do
    truncate -s 0 "$BATS_TEST_TMPDIR/disk" # the model starts from zeros
    truncate -s 64M "$BATS_TEST_TMPDIR/disk"
    "$sim_run" -n 5000 -s $seed --seed $seed "$top/examples/faulty.lua" \
      file="$BATS_TEST_TMPDIR/disk" rate=5% >/dev/null
  done
}
