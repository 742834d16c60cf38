# Two commands on a fresh machine: make demo, make test. Everything lives in .venv.
PYTHON ?= python3
RUN := OMP_NUM_THREADS=1 .venv/bin/python

.PHONY: demo test check clean

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --upgrade pip
	.venv/bin/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: .venv/installed  ## train on the handwritten digits of scikit-learn and leave a report
	.venv/bin/surflow train digits --context digit --minutes 3 --seed 0 --out runs/demo --overwrite

test: .venv/installed  ## all tests, the docstrings' examples among them
	$(RUN) -m pytest -n 2

check: .venv/installed  ## lint, format and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:
	rm -rf .venv runs
