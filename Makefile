# `make demo` and `make test` do all the set-up that they need.
VENV ?= .venv
# Runs inside the environment see its commands first: mim calls `python`.
RUN = PATH="$(abspath $(VENV))/bin:$$PATH"

.PHONY: help demo test env lint format clean FORCE
.DEFAULT_GOAL := help

help:
	@echo 'make demo    make scenes, train and test ISN beside a single-scale baseline on the CPU, draw pictures'
	@echo 'make test    lint, format check and tests'
	@echo 'make env     only the environment in $(VENV)'
	@echo 'make format  format the code'

env: $(VENV)/.ready

# Another TORCH or PYTHON than last time makes the stamp newer, and the environment anew.
STAMP = $(VENV).stamp
export TORCH PYTHON
$(STAMP): FORCE
	@echo "$(TORCH) $(PYTHON)" | cmp -s - $@ || echo "$(TORCH) $(PYTHON)" >$@
FORCE:

$(VENV)/.ready: $(STAMP) requirements.txt tools/make_env.sh setup.cfg pyproject.toml
	@VENV="$(VENV)" bash tools/make_env.sh
	@touch $@

demo: env
	@$(RUN) python tools/demo.py $(DEMO_OPTIONS)

# A file of tests stays in one process, which makes what they share once. In their order, so that the long test_cli is not last.
WORKERS = --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: env lint
	@OMP_NUM_THREADS=1 $(RUN) python -m pytest $(WORKERS) $(TEST_OPTIONS)  # small tensors: threads only wait for each other

lint: env
	@$(RUN) ruff check .
	@$(RUN) ruff format --check .

format: env
	@$(RUN) ruff check --fix .
	@$(RUN) ruff format .

clean:
	rm -rf $(VENV) $(STAMP) work_dirs/demo
