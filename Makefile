# One word per chore. `setup` makes .venv here with pinned versions; everything else runs inside it.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin

.PHONY: setup test check fix train-nano clean

setup: $(VENV)/.ready

# The CPU build of torch goes in first: an unpinned torch would bring several GB of CUDA packages.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(RUN)/pip install -q --upgrade pip
	$(RUN)/pip install -q -c constraints.txt torch
	$(RUN)/pip install -q -c constraints.txt -e '.[dev]'
	touch $@

test: setup
	$(RUN)/pytest

check: setup
	$(RUN)/ruff check .
	$(RUN)/ruff format --check .
	$(RUN)/mypy
	$(RUN)/lint-imports

fix: setup
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .

# Makes the shipped model from nothing (hours); interrupt it and run it again as you like. Steps differ in shape:
# without these settings of the allocator, memory goes to pieces and steps take a third longer.
train-nano: export GLIBC_TUNABLES = glibc.malloc.hugetlb=1
train-nano: export MALLOC_TRIM_THRESHOLD_ = 100000000000
train-nano: export MALLOC_MMAP_THRESHOLD_ = 100000000000
train-nano: setup
	$(RUN)/strokewise train nano --out runs/nano

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
