# `make book` and `make test` set up all they need; `make help` lists the rest.
PYTHON ?= python3
PRESET ?= quick
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# uv does not read pip's variable for wheels that lie on the disk
export UV_FIND_LINKS ?= $(PIP_FIND_LINKS)

.DEFAULT_GOAL := help
.PHONY: help install run book test test-book benchmark fidelity ladder studies lint clean

help: ## list the targets
	@echo "make TARGET [PRESET=$(PRESET)] [PYTHON=$(PYTHON)]"
	@sed -n 's/^\([a-z-]*\):.*## /  \1\t/p' Makefile | expand -t 14

install: $(INSTALLED) ## create .venv with the package, the book's tools and the tests

run: $(INSTALLED) ## the main job alone: results/PRESET.json
	$(BIN)/hepgmm run --preset $(PRESET)

book: $(INSTALLED) ## the main job, then the book: _build/html/index.html
	$(BIN)/hepgmm book --preset $(PRESET)

test: $(INSTALLED) ## the tests that need no built book
	$(BIN)/python -m pytest $(PYTEST_ARGS)

test-book: book ## build the book and test its pages
	$(BIN)/python -m pytest -m built tests/book $(PYTEST_ARGS)

benchmark: $(INSTALLED) ## speed of mixtures and classifiers: results/benchmarks.json, classifiers.json; an hour
	$(BIN)/hepgmm benchmark mixture -o results/benchmarks.json
	$(BIN)/hepgmm benchmark classifiers -o results/classifiers.json

fidelity: $(INSTALLED) ## every generator beside real pileup: results/fidelity.json, two hours
	$(BIN)/hepgmm fidelity --seed 6151 --repeats 5 --workers 2 -o results/fidelity.json

ladder: $(INSTALLED) ## every classifier, five settings: results/ladder.json, half a day
	$(BIN)/hepgmm ladder --trainings 1 -o results/ladder.json

studies: $(INSTALLED) ## classifiers over pileup, lifetime, detector, …: results/studies.json, forty minutes
	$(BIN)/hepgmm studies -o results/studies.json

lint: $(INSTALLED) ## style of the code, and notebooks without outputs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/nbstripout --keep-id --verify notebooks/*.ipynb

clean: ## remove what was built, cached and measured; .venv stays
	rm -rf _build _cache dist results/quick*
	find hepgmm -name '*.nb[ci]' -delete

$(INSTALLED): pyproject.toml constraints.txt | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[book,dev]'
	@touch $@

$(BIN)/uv:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.10 to 3.13, or name one with PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 13) else "%s is Python %s.%s; Python 3.10 to 3.13 is needed: name one with PYTHON=/path/to/python3" % ((sys.executable,) + v))'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "$(PYTHON) cannot make virtual environments: install its venv module (Debian, Ubuntu: apt install python3-venv)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
