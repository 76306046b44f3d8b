# `make help` lists the targets. They use .venv if it is there, else the python3 on the path.

PYTHON ?= $(if $(wildcard .venv/bin/python),.venv/bin/python,python3)
TOOLS := $(dir $(shell command -v $(PYTHON)))
SPECS := $(sort $(basename $(notdir $(wildcard specs/*.yaml))))
SOURCES := gendsl compiler runtime specs tests benchmarks docs

.PHONY: help check test check-all mutants papers golden docs clean

help:
	@echo "make check      ruff, mypy --strict, import-linter (no tests)"
	@echo "make test       the default tests"
	@echo "make check-all  check, the default and the slow tests, every shipped spec at 50 steps, mutants"
	@echo "make mutants    plants known mistakes, one at a time; a test must fail for each"
	@echo "make papers     ROW=made_dna DATA=FOLDER runs a row of docs/results.md; without ROW, lists the rows"
	@echo "make golden     write tests/golden/NAME.txt, what explain says of each shipped spec"
	@echo "make docs       write docs/components/*.md and docs/codes.md from the registry"
	@echo "make clean      remove caches and builds"

check:
	$(PYTHON) -m ruff check $(SOURCES)
	$(PYTHON) -m ruff format --check $(SOURCES)
	$(PYTHON) -m mypy -p gendsl
	$(TOOLS)lint-imports

test:
	$(PYTHON) -m pytest

check-all: check
	$(PYTHON) -m pytest -m "not gpu"
	$(MAKE) mutants PYTHON=$(PYTHON)

mutants:
	PYTHONPATH=. $(PYTHON) -m tests.mutants.run

papers:
	PYTHONPATH=. $(PYTHON) -m benchmarks.papers $(ROW) $(if $(DATA),--data $(DATA))

golden:
	rm -f tests/golden/*.txt
	@for name in $(SPECS); do \
		echo "tests/golden/$$name.txt"; \
		$(PYTHON) -m gendsl explain $$name --device cpu --no-estimates > tests/golden/$$name.txt || exit 1; \
	done

docs:
	PYTHONPATH=. $(PYTHON) docs/generate.py

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .import_linter_cache .hypothesis .pytest_cache
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
