.PHONY: setup demo docs test check test-slow test-slurm test-pacs test-gpu bench bench-training clean

PYTHON ?= python3
BIN := .venv/bin
TEST_FLAGS ?= -q
# a worker of the tests for each core, 8 at most; those that are done take over what others have left
TEST_WORKERS ?= --numprocesses logical --maxprocesses 8 --dist worksteal
# torch and what else is imported are compiled once, not by each process anew, whatever the machine's own setting
unexport PYTHONDONTWRITEBYTECODE

setup: .venv/ready

.venv/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	touch .venv/ready

demo: setup  ## the whole chain on a phantom cohort, into ./demo
	$(BIN)/pectl demo --out demo

test: setup  ## the tests that CI runs
	$(BIN)/python -m pytest $(TEST_FLAGS) $(TEST_WORKERS) -m "not slow and not gpu and not slurm and not pacs"

docs: setup  ## the pages of docs/ as a site in build/docs; a broken link or a missing page fails
	$(BIN)/sphinx-build --builder html --fail-on-warning --keep-going --fresh-env --quiet docs build/docs

check: setup docs  ## format, lint, types, import arrows, docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test-slow: setup  ## minutes: training that must learn, and must not where labels are shuffled
	$(BIN)/python -m pytest $(TEST_FLAGS) -m "slow"

test-slurm: setup  ## the chain through a real Slurm of one node, which it installs if there is none (Debian, Ubuntu)
	PATH="$$PATH:/usr/sbin" && command -v slurmctld slurmd munged > /dev/null || \
		tests/debian_install.sh slurmctld slurmd slurm-client munge
	$(BIN)/python -m pytest $(TEST_FLAGS) -m "slurm"

test-pacs: setup  ## the node beside a real Orthanc, and DICOM output before the judges of a PACS; installs what is missing (Debian, Ubuntu)
	tests/pacs/install.sh
	$(BIN)/python -m pytest $(TEST_FLAGS) -m "pacs"

test-gpu: setup  ## needs a CUDA device
	$(BIN)/python -m pytest $(TEST_FLAGS) -m "gpu"

bench: setup  ## the tables of docs/background/speed-tables.md
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.training

bench-training: setup  ## reading windows, training steps and each switch of them, extraction, memory
	$(BIN)/python -m benchmarks.training

clean:
	rm -rf .venv demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
