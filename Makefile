# `make demo` and `make test` do all their own set-up. They need only make and Python 3.11 or newer.
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
BIN := .venv/bin
STAMP := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test cov lint format bench compat requirements clean audit

help:
	@echo "make demo          run a whole campaign on embedded Redis and PostgreSQL"
	@echo "make test          run the tests"
	@echo "make lint          run ruff, mypy, pyright and codespell, as CI does"
	@echo "make format        format the code and apply the fixes of ruff"
	@echo "make cov           run the tests and report coverage"
	@echo "make bench         compare the engine with other libraries (about 20 minutes)"
	@echo "make compat        run the test suite of arq against the Worker of this project"
	@echo "make audit         check dependencies: pins, licenses, known vulnerabilities"
	@echo "make requirements  compile the pinned requirements again (needs uv)"
	@echo "make install       create .venv with the ringline and arq commands"
	@echo "make clean         remove .venv, caches and build output"
	@echo "make help          list these commands"

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

# In one process, since coverage does not measure the workers of pytest-xdist.
cov: install
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n 0
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report

# codespell is licensed under the GPL, which tests/test_dependencies.py refuses for a pinned
# dependency. So it is optional: `.venv/bin/pip install codespell`.
lint: install
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/pyright
	@$(BIN)/codespell

format: install
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

# The results are in benchmarks/RESULTS.md. To run a part: .venv/bin/python -m benchmarks --help
bench: install
	@$(BIN)/python -m benchmarks

# Vulnerabilities are looked up online, if pip-audit is installed in .venv.
audit: install
	@$(BIN)/python -m pip check
	@$(BIN)/python -m pytest -n 0 tests/test_dependencies.py
	@if [ -x $(BIN)/pip-audit ]; then $(BIN)/pip-audit --no-deps --disable-pip -r requirements-dev.txt; \
	else echo "vulnerabilities were not looked up: install pip-audit into .venv to do so"; fi

# The pins hold no index address. This needs uv (`pip install uv`).
requirements:
	uv pip compile pyproject.toml --python-version 3.11 --universal --no-header --no-annotate \
		--extra embedded --extra report --extra uvloop -o requirements.txt
	uv pip compile pyproject.toml --python-version 3.11 --universal --no-header --no-annotate \
		--extra dev -o requirements-dev.txt

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov build dist *.egg-info

# The test suite comes from arq's source distribution.
compat: install
	@$(BIN)/python tests/compat/run.py
