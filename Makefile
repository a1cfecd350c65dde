# make demo     scores of the sample photos, from nothing but Python 3.11 or newer
# make test     the test suite              make slow     the tests that take long: several processes, training
# make coverage the suite with the coverage of lines and branches, and its floor
# make lint     ruff and mypy               make docs     the documentation site, in site/
# make picture  docs/score.svg, the picture in the README
# make bench    benchmarks/RESULTS.md: speed and memory (python -m benchmarks --help)
# make package  wheel and source distribution, in dist/
PYTHON ?= python3
BIN    := .venv/bin
READY  := .venv/ready
PIP    := $(BIN)/python -m pip -qq --disable-pip-version-check
# Options for pytest: `make test PYTEST=-x`. Files run in parallel, the tests of one file in order.
PYTEST ?=
JOBS   ?= 2

.PHONY: demo test slow coverage lint docs picture bench package clean

demo: $(READY)
	$(BIN)/realqa score examples/photos --table

test: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m "not slow" $(PYTEST)

slow: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile -m slow $(PYTEST)

coverage: $(READY)
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --cov --cov-report=term $(PYTEST)

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/mypy tests benchmarks docs examples/annotation examples/paper examples/photos examples/realqa-tiny examples/reference examples/spark

docs: $(READY)
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_records.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	@echo "the site is in site/index.html"

picture: $(READY)
	$(BIN)/python docs/make_picture.py

bench: $(READY)
	$(BIN)/python -m benchmarks

package: $(READY)
	$(BIN)/python -m build

clean:
	rm -rf .venv site dist

# pip itself comes first: dependency groups need pip 25.1. The stamp is written last, so an interrupted
# installation is repeated.
$(READY): pyproject.toml constraints.txt
	@echo "making .venv (once)"
	$(PYTHON) -m venv .venv
	$(PIP) install --constraint constraints.txt --upgrade pip
	$(PIP) install --constraint constraints.txt --editable . --group dev
	@touch $(READY)
