# ublk-lua. `make demo` and `make check` do all set-up themselves; the README
# says what the other targets are for. Objects go to build/, or to build/$(SAN)
# with SAN=address (and undefined behaviour), SAN=undefined or SAN=thread.

VERSION := 0.1.0
PREFIX  ?= /usr/local
CC      ?= cc
LUAJIT  ?= luajit
SAN     ?=
V       ?= 0

BUILD := build$(if $(SAN),/$(SAN))
Q     := $(if $(filter 0,$(V)),@)
# A line for each step; not when V=1 shows the commands, nor under -s.
quiet := $(findstring s,$(firstword -$(MAKEFLAGS)))
say    = $(if $(filter 0,$(V)),$(if $(quiet),@:,@echo "  $(1)	$(2)"))

SAN_FLAGS_address   := -fsanitize=address,undefined -fno-sanitize-recover=all
SAN_FLAGS_undefined := -fsanitize=undefined -fno-sanitize-recover=all
SAN_FLAGS_thread    := -fsanitize=thread
ifneq ($(SAN),)
ifeq ($(SAN_FLAGS_$(SAN)),)
$(error SAN=$(SAN): address, undefined or thread is needed)
endif
endif

PACKAGES := liburing luajit jansson libedit
WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
            -Wpointer-arith -Wvla -Wundef -Wformat=2 -Wno-unused-parameter
CFLAGS   ?= -O2 -g
# Expanded when first used, so that `make demo` can install the packages before.
PKG_CONFIG = $(or $(shell pkg-config $(1) $(PACKAGES) 2>/dev/null),$(error \
	$(PACKAGES) and pkg-config are needed: run scripts/deps build))
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(call PKG_CONFIG,--cflags))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(call PKG_CONFIG,--libs))$(PKG_LIBS)
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE -iquote core $(WARNINGS) $(CFLAGS) $(SAN_FLAGS_$(SAN)) \
             $(PKG_CFLAGS) -pthread
# LuaJIT finds ul_* functions and embedded modules as symbols of the program.
ALL_LDFLAGS = -Wl,--dynamic-list=core/exports.list $(SAN_FLAGS_$(SAN)) $(LDFLAGS)
ALL_LIBS    = $(PKG_LIBS) -pthread -ldl -lm

SOURCES  := $(wildcard core/*.c)
OBJECTS  := $(SOURCES:core/%.c=$(BUILD)/core/%.o)
MODULES  := $(wildcard lua/ublk/*.lua) $(BUILD)/lua/ublk/api.lua
# lua/ublk/loop.lua is module ublk.loop, lua/ublk/init.lua is module ublk.
module    = $(subst /,.,$(patsubst %/init,%,$(patsubst lua/%.lua,%,$(patsubst $(BUILD)/%,%,$(1)))))
BYTECODE := $(foreach m,$(MODULES),$(BUILD)/bytecode/$(call module,$(m)).o)
# Everything but main.o: what the program and the test programs share.
SHARED   := $(filter-out $(BUILD)/core/main.o,$(OBJECTS)) $(BYTECODE)

all: $(BUILD)/ublk-lua

# A file that a failed command has half written is no file.
.DELETE_ON_ERROR:

$(BUILD)/ublk-lua: $(OBJECTS) $(BYTECODE) core/exports.list
	$(call say,LD,$@)
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $(OBJECTS) $(BYTECODE) $(ALL_LIBS)

$(BUILD)/core/%.o: core/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -DUBLK_LUA_VERSION='"$(VERSION)"' -MMD -MP -c -o $@ $<

# core/api.h as a string that lua/ublk/ffi.lua declares: one text for both sides.
$(BUILD)/lua/ublk/api.lua: core/api.h
	@mkdir -p $(@D)
	$(Q){ echo 'return [==['; cat $<; echo ']==]'; } >$@

define bytecode_rule
$(BUILD)/bytecode/$(call module,$(1)).o: $(1) Makefile
	@mkdir -p $$(@D)
	$$(call say,LUA,$(1))
	$$(Q)$$(LUAJIT) -b -g -n $(call module,$(1)) $(1) $$@
endef
$(foreach m,$(MODULES),$(eval $(call bytecode_rule,$(m))))

# What users have after it: the program and the devices that it finds by name.
install: all
	install -D -m 755 $(BUILD)/ublk-lua $(DESTDIR)$(PREFIX)/bin/ublk-lua
	install -D -m 755 -t $(DESTDIR)$(PREFIX)/share/ublk-lua/examples examples/*.lua

# Everything below sets itself up: packages first, then a make that sees them.
demo:
	$(Q)scripts/deps build test
	$(Q)$(MAKE) --no-print-directory all
	$(Q)scripts/demo

check:
	$(Q)scripts/deps
	$(Q)scripts/check

soak:
	$(Q)scripts/deps
	$(Q)scripts/soak $(ROUNDS)

lint:
	$(Q)scripts/lint

clean:
	rm -rf build

-include $(OBJECTS:.o=.d)
include tests/tests.mk tests/bench/bench.mk

.PHONY: all install demo check soak lint clean
