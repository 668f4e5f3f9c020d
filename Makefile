# make help lists the targets. Every target sets up .venv by itself, again only when the requirements change.
PYTHON ?= python3
MODEL  ?= roberta
YAML   ?= yamls/roberta_base.yaml
STORE  ?= stores/prefinetune
EVAL   ?= yamls/eval/paper.yaml
SOURCE ?= hub
ARGS   ?=

VENV := .venv
BIN  := $(VENV)/bin
READY := $(VENV)/.ready
DEMO_YAML := $(if $(filter bart,$(MODEL)),yamls/demo_bart.yaml,yamls/demo.yaml)
DEMO_RUN  := $(if $(filter bart,$(MODEL)),runs/demo_bart,runs/demo)

.DEFAULT_GOAL := help
.PHONY: help setup demo data train score eval study test lint bench clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## Make .venv and install everything (once)

$(READY): requirements.txt requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' \
		|| { echo "Python 3.10 to 3.12 is needed; set PYTHON=<one of these>"; exit 1; }
	@echo "Setting up $(VENV): torch and its friends, 6.5 GB, a few minutes ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade 'pip>=25.1' # from then on it shows progress while unpacking, too
	$(BIN)/pip install -r requirements-dev.txt
	$(BIN)/pip install --no-deps --editable .
	@touch $@

demo: $(READY) ## See it all work, offline: data, training, report (MODEL=roberta or bart)
	$(BIN)/python -m data_prep.train_tokenizer demo/tokenizer --source miniature
	$(BIN)/python -m data_prep demo/store --source miniature --tokenizer demo/tokenizer --max-length 256
	$(BIN)/composer recipe/train.py $(DEMO_YAML) $(ARGS)
	$(BIN)/python recipe/score.py $(DEMO_RUN)

data: $(READY) ## Datasets into shards (SOURCE=hub, local:<folder> or miniature; STORE=; ARGS="--tokenizer roberta-base")
	$(BIN)/python -m data_prep $(STORE) --source $(SOURCE) $(ARGS)

train: $(READY) ## Pre-finetune (YAML=yamls/roberta_base.yaml ARGS="key=value ...")
	$(BIN)/composer recipe/train.py $(YAML) $(ARGS)

score: $(READY) ## Score a run's own heads on every task (RUN=runs/<name>)
	@test -n "$(RUN)" || { echo "which run? make score RUN=runs/<name>"; exit 2; }
	$(BIN)/python recipe/score.py $(RUN) $(ARGS)

eval: $(READY) ## Fine-tune from a run and from its backbone, and compare (RUN=runs/<name> EVAL=yamls/eval/paper.yaml)
	@test -n "$(RUN)" || { echo "which run? make eval RUN=runs/<name>"; exit 2; }
	$(BIN)/python recipe/evaluate.py $(EVAL) run=$(RUN) $(ARGS)

study: $(READY) ## Pre-finetune in several ways, fine-tune from each, and compare (NAME=scale, batching, ...)
	@test -n "$(NAME)" || { echo "which study? make study NAME=<one of yamls/studies>"; exit 2; }
	$(BIN)/python recipe/study.py yamls/studies/$(NAME).yaml $(ARGS)

test: $(READY) ## All tests
	$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

lint: $(READY) ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

bench: $(READY) ## Timings, as ratios within one run, and memory
	$(BIN)/python bench/conversion.py
	$(BIN)/python bench/batch_plan.py
	$(BIN)/python bench/training_step.py
	$(BIN)/python bench/tartan_step.py
	$(BIN)/python bench/loader.py
	$(BIN)/python bench/overlap.py

clean: ## Remove what the targets made, but not .venv
	rm -rf demo runs/demo runs/demo_bart .pytest_cache .ruff_cache .hypothesis
