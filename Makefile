# Daily work; ./bootstrap sets a fresh machine up.
BUILD ?= build

.PHONY: all test check check-full bench format clean install wheel

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup $(BUILD) --buildtype=release

test check: all
	meson test -C $(BUILD) --print-errorlogs

check-full:
	tests/tools/check_full.sh

bench: all
	./bootstrap bench-deps
	.deps/bench/bin/python3 bench/run.py --build $(BUILD)

format:
	git ls-files '*.c' '*.h' | xargs clang-format -i

# The Python package with the library in it, into dist/.
wheel:
	python3 -m pip wheel --no-deps --wheel-dir dist ./python

install: all
	meson install -C $(BUILD)

clean:
	rm -rf $(BUILD)
