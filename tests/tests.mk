# Tests that need neither root nor the ublk driver, included by the Makefile.
# Each becomes one program in $(BUILD)/tests that prints TAP: unit_NAME from
# tests/unit/NAME.c, lua_NAME from tests/lua/NAME.lua (run by lua-host), and
# sim_NAME from tests/sim/NAME.bats. `make unit` runs all, under SAN as well.

TEST_DIR   := $(BUILD)/tests
# One test alone: prove -v build/tests/unit_cli
PROVE      ?= prove -j2
UNIT_NAMES := $(filter-out support,$(patsubst tests/unit/%.c,%,$(wildcard tests/unit/*.c)))
UNIT_TESTS := $(UNIT_NAMES:%=$(TEST_DIR)/unit_%)
LUA_TESTS  := $(patsubst tests/lua/%.lua,$(TEST_DIR)/lua_%,$(wildcard tests/lua/*.lua))
SIM_TESTS  := $(patsubst tests/sim/%.bats,$(TEST_DIR)/sim_%,$(wildcard tests/sim/*.bats))
# What the unit tests share.
RIG          := rig slow model exercise trees
TEST_OBJECTS := $(patsubst tests/%.c,$(TEST_DIR)/%.o,$(wildcard tests/unit/*.c) \
                tests/lua/host.c tests/soak/stacks.c tests/exercise_device.c \
                $(RIG:%=tests/%.c))

# LuaJIT's code is not instrumented, so nothing of it can be mistaken for a leak: no suppressions.
SAN_ENV_address   := ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 \
                     UBSAN_OPTIONS=print_stacktrace=1
SAN_ENV_undefined := UBSAN_OPTIONS=print_stacktrace=1
SAN_ENV_thread    := TSAN_OPTIONS=halt_on_error=1

unit: $(UNIT_TESTS) $(LUA_TESTS) $(SIM_TESTS)
	$(Q)CMOCKA_MESSAGE_OUTPUT=TAP $(SAN_ENV_$(SAN)) $(PROVE) $^

$(TEST_OBJECTS): $(TEST_DIR)/%.o: tests/%.c Makefile tests/tests.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# Functions that a test takes the place of.
WRAP_queue       := mmap io_uring_submit_and_wait io_uring_submit_and_wait_timeout \
                    io_uring_submit_and_get_events
WRAP_queue_batch := io_uring_submit_and_wait io_uring_submit_and_wait_timeout \
                    io_uring_submit_and_get_events io_uring_register_buf_ring clock_gettime
WRAP_worker      := transport_alloc queue_open dispatch_open dispatch_round dispatch_deadline \
                    dispatch_close script_attach script_command
WRAP_backend_mem := mmap
WRAP_lane        := io_uring_submit
WRAP_backend_mirror := io_uring_submit
WRAP_watchdog    := clock_gettime
WRAP_file_start  := lane_start lane_try_again lane_pages lane_fetch lane_store file_serve

$(UNIT_TESTS): $(TEST_DIR)/unit_%: $(TEST_DIR)/unit/%.o $(TEST_DIR)/unit/support.o \
		$(RIG:%=$(TEST_DIR)/%.o) $(SHARED) core/exports.list
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) $(addprefix -Wl$(COMMA)--wrap=,$(WRAP_$*)) -o $@ \
		$(filter %.o,$^) -lcmocka $(ALL_LIBS)

$(TEST_DIR)/lua-host: $(TEST_DIR)/lua/host.o $(TEST_DIR)/rig.o $(TEST_DIR)/slow.o $(SHARED)
$(TEST_DIR)/lua-host: core/exports.list
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(ALL_LIBS)

$(TEST_DIR)/soak_stacks: $(TEST_DIR)/soak/stacks.o $(SHARED) core/exports.list
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(ALL_LIBS)

# For the tests on devices; they run what is there, in a guest that cannot build.
$(TEST_DIR)/exercise_device: $(TEST_DIR)/exercise_device.o $(TEST_DIR)/exercise.o
$(TEST_DIR)/exercise_device: $(TEST_DIR)/model.o $(SHARED) core/exports.list
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(ALL_LIBS)

$(LUA_TESTS): $(TEST_DIR)/lua_%: tests/lua/%.lua $(TEST_DIR)/lua-host
	$(Q)printf '#!/bin/sh\nexec %s %s -v -o tap "$$@"\n' $(TEST_DIR)/lua-host $< >$@
	@chmod +x $@

$(SIM_TESTS): $(TEST_DIR)/sim_%: tests/sim/%.bats $(BUILD)/ublk-lua $(TEST_DIR)/soak_stacks
	$(Q)printf '#!/bin/sh\nBUILD=%s exec bats --tap %s\n' $(BUILD) $< >$@
	@chmod +x $@

COMMA := ,

-include $(TEST_OBJECTS:.o=.d)

.PHONY: unit
