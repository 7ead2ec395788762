# make run and make test need nothing but Python 3.11 or 3.12 and make; they set up by themselves.
#
#   make run            do the main job; finished steps are reused, FRESH=1 starts over
#   make test           run the tests that are quick enough for every change
#   make slow           run the tests that take longer
#   make bench          measure the benchmark rows; ROWS='machine.*' selects, FULL=1 takes full sizes,
#                       DATA=DIR is a folder with real data
#   make check          formatting, lint, types, layers
#   make docs           build the API reference into docs/api
#   make setup          make .venv and install the pinned packages
#
# PY=/path/to/python3.12 chooses the Python, PIP_FLAGS='…' goes to pip, WORK=DIR is the workspace.

.PHONY: setup run test slow bench check docs
.DEFAULT_GOAL := run

VENV := .venv
BIN := $(VENV)/bin
EXTRAS := nn,serve,seal,gpu,dev
PIP_FLAGS ?=
# The Python on which constraints.txt was resolved comes first.
PY ?= $(shell for python in python3.11 python3.12 python3; do \
	$$python -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' \
	>/dev/null 2>&1 && { echo $$python; break; }; done)

# The stamp's name holds what was installed from, so that a change of either file sets up again.
KEY := $(shell cat pyproject.toml constraints.txt | cksum | tr ' ' '-')
STAMP := $(VENV)/.setup-$(KEY)
PEERS := $(VENV)/.setup-peers-$(KEY)

setup: $(STAMP)

$(STAMP):
	@test -n "$(PY)" || { echo "setup: no Python 3.11 or 3.12 found;" \
		"install one, or name it: make PY=/path/to/python3.12" >&2; exit 1; }
	@$(PY) -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' || { \
		echo "setup: $(PY) is not Python 3.11 or 3.12;" \
		"name one: make PY=/path/to/python3.12" >&2; exit 1; }
	@echo "setup: environment in $(VENV), from $$($(PY) --version)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PY) -m venv --clear $(VENV)
	@rm -f $(VENV)/.setup-*
	@echo "setup: installing the pinned packages (some minutes the first time)"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --disable-pip-version-check \
		-c constraints.txt -e '.[$(EXTRAS)]'
	@touch $@
	@echo "setup: done"

run: $(STAMP)
	@$(BIN)/bb run $(if $(WORK),--work '$(WORK)') $(if $(filter-out 0,$(FRESH)),--fresh)

test: $(STAMP)
	@echo "test: unit, property, golden and e2e tests, without those marked slow"
	@$(BIN)/python -m pytest -q -m "not slow"

slow: $(STAMP)
	@echo "slow: the tests marked slow"
	@$(BIN)/python -m pytest -q -m slow

bench: $(PEERS)
	@$(BIN)/python -m benchmarks $(ROWS) $(if $(filter-out 0,$(FULL)),--full) \
		$(if $(DATA),--data $(DATA))

$(PEERS): $(STAMP)
	@echo "bench: installing what is measured against"
	@$(BIN)/python -m pip install $(PIP_FLAGS) --disable-pip-version-check -q \
		-c constraints.txt -e '.[bench]'
	@touch $@

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP)
	@$(BIN)/python -m pip install $(PIP_FLAGS) --disable-pip-version-check -q \
		-c constraints.txt -e '.[docs]'
	@$(BIN)/python -m pdoc --docformat google -o docs/api \
		bb_core bem_kernel bb_domains bb_nn bb_runtime bb_safety seal bb_train
	@echo "docs: open docs/api/index.html"
