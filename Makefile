# `make demo` and `make test` do all their own set-up; only Python >= 3.11 and make are needed.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test cov lint format bench compat requirements clean audit

help:
	@echo "make demo     run a whole campaign on embedded Redis and PostgreSQL"
	@echo "make test     run the tests"
	@echo "make lint     ruff, mypy and pyright, as CI runs them"
	@echo "make audit    the dependencies: pins, licences, and what is known to be vulnerable"
	@echo "make cov      the tests, with coverage"
	@echo "make install  .venv with the ringline and arq commands, from the pinned requirements"

$(STAMP): requirements-dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: install it, or name it with PYTHON=..." >&2; exit 1; }
	@echo "setting up .venv with $(PYTHON)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

install: $(STAMP)

demo: install
	@$(BIN)/ringline demo

test: install
	@$(BIN)/python -m pytest

# In one process, since what the workers of pytest-xdist run is not measured.
cov: install
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n 0
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# Side by side with other libraries; what it gave is in benchmarks/RESULTS.md. A part of it:
# .venv/bin/python -m benchmarks --help
bench: install
	@$(BIN)/python -m benchmarks

# What is known to be vulnerable is asked online, where `pip install pip-audit` was run in .venv.
audit: install
	@$(BIN)/python -m pip check
	@$(BIN)/python -m pytest -n 0 tests/test_dependencies.py
	@if [ -x $(BIN)/pip-audit ]; then $(BIN)/pip-audit --no-deps --disable-pip -r requirements-dev.txt; \
	else echo "known vulnerabilities were not looked up: that takes pip-audit and the network"; fi

# The pins hold no index address; run this with `pip install uv` at hand.
requirements:
	uv pip compile pyproject.toml --python-version 3.11 --universal --no-header --no-annotate \
		--extra embedded --extra report --extra uvloop -o requirements.txt
	uv pip compile pyproject.toml --python-version 3.11 --universal --no-header --no-annotate \
		--extra dev -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov build dist *.egg-info

# arq's own test suite, from its source distribution, against our Worker.
compat: install
	@$(BIN)/python tests/compat/run.py
