# Two commands on a fresh machine: make demo, make test. Everything lives in .venv.
PYTHON ?= python3

.PHONY: demo test check clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed  ## train on the handwritten digits that come with scikit-learn, and leave a report
	.venv/bin/surflow train digits --context digit --seed 0 --out runs/demo --overwrite

test: .venv/installed  ## all tests, the examples in docstrings among them
	OMP_NUM_THREADS=1 .venv/bin/python -m pytest -n 2

check: .venv/installed  ## lint, format, types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv runs
