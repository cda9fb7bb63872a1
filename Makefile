# From a bare clone: `make demo` or `make test`. Both make .venv on first use and are quick the second time.
# Another Python or another build of torch: make demo PYTHON=python3.12 TORCH="torch==2.13.0"
PYTHON ?= python3
TORCH ?= torch==2.13.0

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
DEMO := src/unbabble/demo
VOICES := demo-output/mixture

.PHONY: help demo test check docs web clean

help:
	@echo "make demo    separate the demo recording, say how well it went and where to listen"
	@echo "make test    run the whole test suite"
	@echo "make check   formatting, lint, types, imports, tests, documentation: what must pass before a commit"
	@echo "make docs    build the documentation into site/"
	@echo "make web     fetch what the site's pages take from npm (an installation does so where npm is there)"
	@echo "make clean   remove all that these made, .venv included"

demo: .venv/installed
	@echo "Separating $(DEMO)/mixture.flac: three people at once, four microphones."
	$(BIN)/unbabble separate $(DEMO)/mixture.flac --out demo-output --sources 3
	$(BIN)/unbabble score --mixture $(DEMO)/mixture.flac --references $(DEMO) --estimates $(VOICES)
	@echo "Listen to the mixture, $(DEMO)/mixture.flac, then to $(VOICES)/source1.wav, source2.wav, source3.wav."

test: .venv/installed-dev
	scripts/check tests

check: .venv/installed-dev
	scripts/check

docs: .venv/installed-dev
	scripts/check docs
	@echo "Open site/index.html."

web: .venv/installed
	@$(PIP) --no-deps --editable .
	@ls src/unbabble/web/static/vendor

clean:
	rm -rf .venv demo-output site build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps say that the installation is complete and not older than what pyproject.toml asks for.
.venv/installed: pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv; the first time this takes a few minutes."
	@$(PIP) $(TORCH)
	@$(PIP) --editable '.[all]' || { \
	  echo "Going on without PESQ: it is built from source, which needs a C compiler and Python's headers." >&2; \
	  $(PIP) --editable '.[dereverb,rooms,train,onnx]' fast-bss-eval packaging pystoi; }
	@touch $@

.venv/installed-dev: pyproject.toml | .venv/bin/pip
	@echo "Installing into .venv; the first time this takes a few minutes."
	@$(PIP) $(TORCH)
	@$(PIP) --editable '.[dev]'
	@touch .venv/installed $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Unbabble needs Python 3.11 or later. Name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv .venv
