#!/usr/bin/env bats
# Random stacks of layers over the simulated transport (tests/soak/stacks.c says what is held): the
# short form of `make soak`.

@test "random stacks of layers: every answer once, right data, no leak, no growth" {
  cd "$BATS_TEST_DIRNAME/../.."
  "${BUILD:-build}/tests/soak_stacks" -n 60 >&2
}
