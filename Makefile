# SPDX-License-Identifier: Apache-2.0
# A short way to say what Meson does. `make` leaves the program at build/dach.
BUILD ?= build
IMAGE ?= debian
MESON_SETUP ?=
SUITES ?=
SOURCES = find src tests \( -name '*.c' -o -name '*.h' \) -print0

.PHONY: all run check format install clean

all: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@meson setup $(MESON_SETUP) $(BUILD) >$(BUILD).log || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@rm -f $(BUILD).log

# Each installs what it misses (as root; else it says what to install), so
# that a fresh clone needs nothing else.
run:
	@tools/packages build run
	@$(MAKE) --no-print-directory all
	@tools/run-image $(BUILD)/dach $(IMAGE)

check:
	@tools/packages build run check
	@$(MAKE) --no-print-directory all
	@tests/run $(SUITES)

format:
	@$(SOURCES) | xargs -0 clang-format -i

install: all
	@meson install -C $(BUILD)

clean:
	@rm -rf $(BUILD)
