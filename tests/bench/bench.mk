# The native benchmark: the program without its main, and tests/bench/*.c.
BENCH_OBJECTS := $(patsubst tests/%.c,$(BUILD)/tests/%.o,$(wildcard tests/bench/*.c))

$(BENCH_OBJECTS): $(BUILD)/tests/%.o: tests/%.c Makefile tests/bench/bench.mk
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tests/bench/sim_bench: $(BENCH_OBJECTS) $(SHARED) core/exports.list
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(ALL_LIBS)

-include $(BENCH_OBJECTS:.o=.d)

bench: $(BUILD)/ublk-lua $(BUILD)/tests/bench/sim_bench
	$(Q)scripts/bench $(BENCH)

.PHONY: bench
