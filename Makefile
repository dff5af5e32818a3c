# `make claims` and `make test` set everything up on a fresh machine; PYTHON chooses the interpreter (>= 3.11).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup claims test bench dashboard docs lint types mutation clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("resbench needs Python >= 3.11, this is " + sys.version) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing resbench, torch and the test tools into $(VENV): several GB, a few minutes ...'
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

claims: setup
	$(BIN)/python -m pytest -m claims tests/claims

# Times the default cases (about three minutes), and shows them beside what pytest-benchmark saw.
bench: setup
	$(BIN)/resbench bench
	$(BIN)/python -m pytest -m bench tests/bench

# asv's site of baselines/asv, in .asv/html; `asv preview` serves it.
dashboard: setup
	$(BIN)/resbench export site

# The documentation, in site/; warnings fail.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo 'open site/index.html'

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

# Two processes, a file of tests in one of them: the tests use one thread each.
test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile

# Changes the code that judges in some two thousand places, and counts what the tests notice (an hour on one core). Run
# again it tries only functions that have changed since; to try survivors once more, `mutmut run NAME...`.
mutation: setup
	$(BIN)/python -m pip install --quiet --editable '.[test,mutation]'
	$(BIN)/mutmut run
	$(BIN)/python tests/mutation_score.py

clean:
	rm -rf $(VENV) mutants .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist site
