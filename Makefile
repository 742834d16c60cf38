# Two commands on a fresh machine: make demo, make test. Everything lives in .venv; only make bench and make race make a second one.
PYTHON ?= python3
# What is installed beside surflow itself: dev,docs,sbi runs the tests of the extra sbi too.
EXTRAS ?= dev,docs

# Bytecode is kept, whatever the environment says: every process of a test would compile surflow, and every worker
# rewrite the assertions of all tests, once more.
export PYTHONDONTWRITEBYTECODE =

.PHONY: demo test quick check docs faults fuzz bench race clean

.venv/installed: pyproject.toml experiments/pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[$(EXTRAS)]' --editable ./experiments
	touch $@

demo: .venv/installed  ## train on the handwritten digits that come with scikit-learn, and leave a report
	.venv/bin/surflow train digits --context digit --seed 0 --out runs/demo --overwrite

test: .venv/installed  ## all tests, the examples in docstrings among them
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist worksteal

quick: .venv/installed  ## the tests of about two minutes: none that is slow, compiles, or runs something from end to end
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2 --dist worksteal -m "not slow and not compile and not e2e"

check: .venv/installed  ## lint, format, types, spelling, imports, dependencies
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/codespell
	.venv/bin/lint-imports --no-cache
	.venv/bin/deptry src
	cd experiments && ../.venv/bin/deptry .

fuzz: .venv/installed  ## 2,000 damaged files of every kind, each read or refused in words; KINDS="CSV NPY" for some
	cd tests && OMP_NUM_THREADS=1 ../.venv/bin/python -m fuzz.run $(KINDS) --each 2000 --keep

docs: .venv/installed  ## the site, build/site/index.html; a warning is an error
	OMP_NUM_THREADS=1 .venv/bin/python -m sphinx -W --keep-going -q -b html docs build/site

faults: .venv/installed  ## a run killed at each of its file operations, and a disk that is full from each on
	OMP_NUM_THREADS=1 .venv/bin/python tests/faults/faults.py

.venv/bench-installed: .venv/installed
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,bench]' --editable ./experiments
	touch $@

.venv-jax/installed: benchmarks/jax-requirements.txt constraints.txt
	$(PYTHON) -m venv .venv-jax
	.venv-jax/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement $<
	touch $@

bench: .venv/bench-installed .venv-jax/installed  ## surflow beside its peers: docs/results/benchmark.json, its table and pictures
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.run

race: .venv/bench-installed .venv-jax/installed  ## seconds to a held-out likelihood, beside peers by their own recipes: docs/results/race.json
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[sbi]'
	OMP_NUM_THREADS=1 .venv/bin/python -m benchmarks.race.run

clean:
	rm -rf .venv .venv-jax runs build docs/api/generated docs/learn
