# `make claims` and `make test` set everything up on a fresh machine; PYTHON chooses the interpreter (>= 3.11).
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup claims test lint types clean

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("resbench needs Python >= 3.11, this is " + sys.version) if sys.version_info < (3, 11) else None'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo 'Installing resbench, torch and the test tools into $(VENV): several GB, a few minutes ...'
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@

claims: setup
	$(BIN)/python -m pytest -m claims tests/claims

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

test: lint types
	$(BIN)/python -m pytest

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
