# The native benchmark: the program without its main, and tests/bench/sim_bench.c.
$(BUILD)/tests/bench/sim_bench: tests/bench/sim_bench.c $(SHARED) core/exports.list
	@mkdir -p $(@D)
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -MF $@.d $(ALL_LDFLAGS) -o $@ $< $(SHARED) $(ALL_LIBS)

-include $(BUILD)/tests/bench/sim_bench.d

bench: $(BUILD)/ublk-lua $(BUILD)/tests/bench/sim_bench
	$(Q)scripts/bench $(BENCH)

.PHONY: bench
