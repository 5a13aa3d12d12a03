# Each target does its own set-up; on a fresh machine only Python 3.11 or newer (with venv) and make are needed.
#
#   make demo     a plain install in .venv-demo, six phantom hands, their assessment as a page
#   make test     the full install in .venv, all tests
#   make check    ruff, strict types, and the documentation, strictly
#   make docs     the documentation as a site in site/
#   make reference    the pages that are made from the source, anew

SHELL := /bin/bash
PYTHON ?= $(firstword $(shell command -v python3.11 python3.12 python3.13 python3))
PYTEST_ARGS ?= -n 2 --dist loadfile --no-loadscope-reorder
PIP := -m pip --disable-pip-version-check --quiet
SOURCES := $(shell find src -type f -not -name '*.pyc' -not -path '*.egg-info/*')

# One thread a test worker: two workers on two cores.
TEST_ENV := OMP_NUM_THREADS=1

# The variable keeps an announcement of the theme's makers off the terminal.
MKDOCS := NO_MKDOCS_2_WARNING=1 .venv/bin/python -m mkdocs build --strict

.PHONY: demo test check docs reference format clean

demo: .venv-demo/.installed
	@.venv-demo/bin/python examples/demo.py demo-output

test: .venv/.installed
	$(TEST_ENV) .venv/bin/python -m pytest $(PYTEST_ARGS)

check: .venv/.installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict src
	$(MKDOCS) --quiet

# Neither needs the network. Pages that are made from the source are tracked; a test says when one is not current.
docs: .venv/.installed
	$(MKDOCS)

reference: .venv/.installed
	.venv/bin/python docs/generate.py

format: .venv/.installed
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

# The plain package as users get it: not editable, no extras. Its dependencies stay when only the sources change;
# build/ goes, since setuptools would pack what an earlier build left there.
.venv-demo/.dependencies: pyproject.toml constraints.txt
	@echo "Setting up .venv-demo ..."
	@$(PYTHON) -m venv .venv-demo
	@rm -rf build && .venv-demo/bin/python $(PIP) install --constraint constraints.txt . && rm -rf build
	@touch $@

.venv-demo/.installed: .venv-demo/.dependencies $(SOURCES)
	@rm -rf build && .venv-demo/bin/python $(PIP) install --no-deps --force-reinstall . && rm -rf build
	@touch $@

.venv/.installed: pyproject.toml constraints.txt
	@echo "Setting up .venv with torch (a few minutes, about 5 GB) ..."
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(PIP) install --constraint constraints.txt --editable '.[train,dev]'
	@touch $@

clean:
	rm -rf .venv .venv-demo demo-output build site .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info
