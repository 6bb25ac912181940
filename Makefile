# One word per chore. `setup` makes .venv here with pinned versions; everything else runs inside it.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

PROMPT ?= a photo of a red apple left of a blue bus

.PHONY: setup paint studio test test-browser chromium check fix train-nano clean

setup: $(VENV)/.ready

# The CPU build of torch goes in first: an unpinned torch would bring several GB of CUDA packages.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install -q --upgrade pip
	$(RUN)/pip install -q -c constraints.txt torch
	$(RUN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

# The main job: the shipped model paints a prompt while you watch. Another one: make paint PROMPT="a green dog"
paint: setup
	$(RUN)/strokewise paint "$(PROMPT)"

# The studio in a browser: watch, stop, correct and branch paintings. Ctrl-C ends it.
studio: setup
	$(RUN)/strokewise serve --open

# A process a core; torch in each keeps to its own.
test: export OMP_NUM_THREADS = 1
test: setup
	$(RUN)/pytest -n logical --maxprocesses 4 --dist loadfile

# The studio in a real browser: Debian's chromium, or the one that CHROMIUM names.
test-browser: setup chromium
	$(RUN)/pytest -m browser tests/serve

CHROMIUM ?= chromium
export CHROMIUM
chromium:
	@command -v $(CHROMIUM) >/dev/null || { apt-get update -q \
	&& DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends chromium fonts-dejavu-core \
	&& command -v $(CHROMIUM) >/dev/null; } \
	|| { echo "NO BROWSER: the studio is not tested. Install Debian's chromium as root (apt-get install chromium)," \
	"or name another: make test-browser CHROMIUM=/path/to/chrome" >&2; exit 1; }

check: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

fix: setup
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

# Trains the shipped model from scratch (hours); interrupt it and run it again as you like. Steps differ in shape, which
# takes memory to pieces: without these settings a step takes up to twice as long. jemalloc, where it is installed
# (Debian: libjemalloc2), does still better than glibc with the settings below it; memory that a minute does not use goes back.
train-nano: export LD_PRELOAD = $(firstword $(wildcard /usr/lib/*/libjemalloc.so.2))
train-nano: export MALLOC_CONF = thp:always,metadata_thp:auto,narenas:1,oversize_threshold:0,dirty_decay_ms:60000,muzzy_decay_ms:60000
train-nano: export GLIBC_TUNABLES = glibc.malloc.hugetlb=1
train-nano: export MALLOC_TRIM_THRESHOLD_ = 100000000000
train-nano: export MALLOC_MMAP_THRESHOLD_ = 100000000000
train-nano: setup
	$(RUN)/strokewise train nano --out runs/nano

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
