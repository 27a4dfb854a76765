# `make test` and `make demo` need Python 3.11 to 3.13 with pip, and nothing else: everything goes into .venv of this folder.
PYTHON ?= python3
KEEP ?=

VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := $(shell sed -n 's/^nox = .*"uv==\([0-9.]*\)".*/\1/p' pyproject.toml)
BOOTSTRAPPED := $(VENV)/.uv-$(UV_VERSION)
INSTALLED := $(VENV)/.installed

# uv must use the interpreter that was checked here: it neither downloads one nor follows the caller's own settings.
export UV_PYTHON_DOWNLOADS := never
unexport VIRTUAL_ENV UV_PYTHON UV_PROJECT_ENVIRONMENT

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test thorough lint format types docs nox ci clean

help: ## list these targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' $(firstword $(MAKEFILE_LIST)) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'

demo: $(INSTALLED) ## a real Airflow generates and publishes a video, about a minute (KEEP=1: stays up until Ctrl-C)
	@$(BIN)/python -m tests.live.demo $(if $(filter-out 0 no false,$(KEEP)),--keep)

test: $(INSTALLED) ## the test suite on Airflow 3.3
	@$(BIN)/python -m pytest -n 4 --dist loadfile -m "not live and not chaos and not thorough" $(PYTEST_ARGS)

thorough: $(INSTALLED) ## tests that take long: storms of publishing, random requests to the emulator
	@$(BIN)/python -m pytest -n 2 -m thorough $(PYTEST_ARGS)

lint: $(INSTALLED) ## ruff: rules and format
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check

format: $(INSTALLED) ## ruff: apply the format and the safe fixes
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

types: $(INSTALLED) ## mypy, strict
	@$(BIN)/mypy

docs: $(INSTALLED) ## the documentation, into docs/_build/html
	@$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html

nox: $(INSTALLED) ## the test suite on Airflow 2.11 and 3.1
	@$(BIN)/nox

ci: ## everything that continuous integration runs
	@.ci/run

clean: ## remove everything that these commands have made, .venv included
	rm -rf $(VENV) .nox .demo docs/_build .mypy_cache .ruff_cache .pytest_cache .hypothesis

# pip puts uv into the project's own environment; uv.lock names the same version, so that uv keeps itself when it installs the rest.
$(BOOTSTRAPPED):
	@command -v $(PYTHON) >/dev/null || { echo 'There is no "$(PYTHON)" here. Name a Python 3.11, 3.12 or 3.13: make PYTHON=python3.12 ...' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(None if (3, 11) <= v < (3, 14) else "$(PYTHON) is Python %d.%d, and this project runs on 3.11, 3.12 and 3.13. Name one of them: make PYTHON=python3.12 ..." % v[:2])'
	@$(PYTHON) -m pip --version >/dev/null || { echo '$(PYTHON) has no pip, which is needed to install uv $(UV_VERSION) into $(VENV).' >&2; exit 1; }
	@echo "installing uv $(UV_VERSION) into $(VENV)"
	@$(PYTHON) -m venv --without-pip $(VENV)
	@$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@touch $@

$(INSTALLED): pyproject.toml uv.lock | $(BOOTSTRAPPED)
	@echo "installing what uv.lock names into $(VENV)"
	@$(BIN)/uv sync --frozen --quiet --python $(BIN)/python --extra emulator --group dev --group af33
	@touch $@
