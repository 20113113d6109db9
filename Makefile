# The same commands people and CI run; each sets up what it needs.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
PEERS := .venv/.peers

.PHONY: setup check format test demo elastic bench screenshot docs freeze prints constraints clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "airtriage needs Python 3.11 or newer; set PYTHON=python3.11 (or newer).")'
	@test -x $(BIN)/uv || ($(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --constraint constraints.txt uv)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

$(PEERS): $(STAMP)
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev,bench]'
	@touch $(PEERS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

test: setup
	$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

demo: setup
	@$(BIN)/airtriage demo $(if $(ONCE),--once)

elastic: setup
	@$(BIN)/python -m tests.elastic_server $(or $(VERSION),9.4.3)

bench: $(PEERS)
	$(BIN)/python -m tests.bench

screenshot: setup
	$(BIN)/python -m tests.screenshots

docs: setup
	$(BIN)/python -m tests.render_docs

freeze: setup
	$(BIN)/python -m tests.freeze
	$(BIN)/ruff format --quiet triage/frozen
	$(BIN)/ruff check --quiet --fix triage/frozen

prints: setup
	$(BIN)/python -m tests.prints

constraints: setup
	$(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --extra dev --extra bench --no-header --no-annotate --no-emit-index-url \
		pyproject.toml --output-file constraints.txt

clean:
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
