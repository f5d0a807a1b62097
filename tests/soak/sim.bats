#!/usr/bin/env bats
# Many seeds over the simulated transport, with the model of what the data should be. ROUNDS says
# how many, SOAK_SECONDS how long random stacks run, from SOAK_SEED on. Part of `make soak`; the
# short forms are tests/sim/examples.bats and stacks.bats.

top=$(realpath "$BATS_TEST_DIRNAME/../..")
build=$top/${BUILD:-build}
rounds=${ROUNDS:-200}

many_seeds() {
  local seed
  for ((seed = 0; seed < rounds; seed++)); do
    echo "seed $seed" >&2 # bats shows it when the next line fails
    "$build/ublk-lua" check --json --expect-clean --requests 20000 --batch $((seed % 64 + 1)) \
      --workload $seed --seed $seed "$@" >&2
  done
}

@test "ramdisk.lua: the data of every seed is right" { many_seeds "$top/examples/ramdisk.lua"; }

@test "faulty.lua on every op: what failed changed nothing" {
  many_seeds "$top/examples/faulty.lua" op=any rate=10%
}

@test "a backing file holds the data of every seed" {
  WORKLOAD_SEEDS=$((rounds / 4)) "$build/tests/unit_workload" >&2
}

@test "random stacks of layers: every answer once, right data, no leak, no growth" {
  cd "$top"
  "$build/tests/soak_stacks" -t "${SOAK_SECONDS:-600}" -s "${SOAK_SEED:-$RANDOM$RANDOM}" >&2
}
