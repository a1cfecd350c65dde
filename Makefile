# make demo   scores of the sample photos, from nothing but Python 3.11 or newer
# make test   the test-suite          make lint   ruff and mypy          make docs   docs/
# make bench  benchmarks/RESULTS.md: speed and memory side by side (python -m benchmarks --help)
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/ready
PIP    := $(BIN)/python -m pip -qq --disable-pip-version-check

.PHONY: demo test lint docs bench clean

demo: $(READY)
	$(BIN)/realqa score examples/photos --table

test: $(READY)
	$(BIN)/python -m pytest

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_picture.py

bench: $(READY)
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv

# pip itself comes first: dependency groups need pip 25.1. The stamp is written last, so a broken
# installation is tried again.
$(READY): pyproject.toml constraints.txt
	@echo "making .venv (once)"
	$(PYTHON) -m venv .venv
	$(PIP) install --constraint constraints.txt --upgrade pip
	$(PIP) install --constraint constraints.txt --editable . --group dev
	@touch $(READY)
