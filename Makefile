.PHONY: setup demo test check clean
.DEFAULT_GOAL := setup

PYTHON ?= python3
BIN := .venv/bin
BROWSER := $(or $(SYNTHAUG_CHROMIUM),$(shell command -v chromium || command -v chromium-browser || command -v google-chrome))

setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "synthaug needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: setup
	$(BIN)/synthaug demo --out demo

test: setup
	@$(if $(BROWSER),:,echo "Leaving out the tests that open a page: no chromium, chromium-browser or google-chrome found.")
	OMP_NUM_THREADS=1 $(BIN)/pytest $(if $(BROWSER),,-m "not gpu and not browser") \
		--numprocesses auto --maxprocesses 4 --dist loadfile

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
