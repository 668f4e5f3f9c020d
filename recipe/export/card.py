"""The model card of an exported folder: what is known about the weights, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Any

import yaml

from recipe.checkpoint import Checkpoint
from recipe.config import TrainConfig
from recipe.export.head_folders import HEADS, HeadClass, describe_reasons
from recipe.models import head_family
from recipe.protocol.result import FinetuneResult
from recipe.report.markdown import markdown_table
from recipe.report.numbers import percent
from recipe.report.results import TaskResult, aggregate, in_report_order
from recipe.tasks import Family, Task, get_task
from recipe.tasks.catalogue import registered_tasks
from recipe.yaml_keys import flatten

_LICENCES = """\
The datasets have licences of their own, listed above as they are commonly stated, unchecked; several are for research \
or non-commercial use only, of others the terms are unclear. Read the sources' own words, and the base model's \
licence, before you use these weights or pass them on."""

_CITATION = """\
```bibtex
@article{aghajanyan2021muppet,
  title   = {Muppet: Massive Multi-task Representations with Pre-Finetuning},
  author  = {Aghajanyan, Armen and Gupta, Anchit and Shrivastava, Akshat and Chen, Xilun and Zettlemoyer, Luke and \
Gupta, Sonal},
  journal = {arXiv preprint arXiv:2101.11038},
  year    = {2021}
}
```"""

_LOAD = """\
from transformers import AutoTokenizer

folder = "."  # this folder, or this model's name on the Hub
tokenizer = AutoTokenizer.from_pretrained(folder)"""

_STATES = """\
from transformers import AutoModel

backbone = AutoModel.from_pretrained(folder)
states = backbone(**tokenizer("A text.", return_tensors="pt")).last_hidden_state"""

# What each family's class is given and gives; {auto} is the class, {folder} the head's.
_USES = {
    Family.CLASSIFICATION: """\
from transformers import {auto}

classifier = {auto}.from_pretrained(folder, subfolder="{folder}")
logits = classifier(**tokenizer("A text.", "A second one, where the task has two.", return_tensors="pt")).logits
label = classifier.config.id2label[logits.argmax().item()]""",
    Family.COMMONSENSE: """\
from transformers import {auto}

chooser = {auto}.from_pretrained(folder, subfolder="{folder}")
choices = ["One choice.", "Another choice."]
rows = tokenizer(["A context or question."] * len(choices), choices, padding=True, return_tensors="pt")
scores = chooser(**{{name: values[None] for name, values in rows.items()}}).logits  # (1, choices)
choice = choices[scores.argmax().item()]""",
    Family.MRC: """\
from transformers import {auto}

reader = {auto}.from_pretrained(folder, subfolder="{folder}")
row = tokenizer("A question?", "A context that has the answer.", return_tensors="pt")
spans = reader(**row)  # at the first token: the context has no answer
first, last = spans.start_logits.argmax().item(), spans.end_logits.argmax().item()
answer = tokenizer.decode(row["input_ids"][0, first : last + 1])""",
    Family.SUMMARIZATION: """\
from transformers import AutoModelForSeq2SeqLM

summarizer = AutoModelForSeq2SeqLM.from_pretrained(folder)
written = summarizer.generate(**tokenizer("A document.", return_tensors="pt"), max_new_tokens=60)
summary = tokenizer.decode(written[0], skip_special_tokens=True)""",
}


def model_card(
    checkpoint: Checkpoint,
    config: TrainConfig,
    classes: Mapping[str, HeadClass],
    reasons: Mapping[str, str],
    results: Sequence[TaskResult] | FinetuneResult,
) -> str:
    """``README.md`` with the Hub's metadata on top.

    Args:
        checkpoint: What was exported.
        config: Its run's.
        classes: Of the heads that have a folder.
        reasons: Why a head cannot have one.
        results: Scores of these very weights, or what the fine-tuning run that made them says; none where neither is.
    """
    tasks = [get_task(key) for key in checkpoint.tasks]
    parts = [
        _metadata(config, tasks),
        f"# {config.run_name}",
        _summary(checkpoint, config, tasks),
        "## How to load it",
        _how_to_load(tasks, classes, reasons),
        "## What it was trained on",
        _task_table(tasks, classes),
        "Training examples are those of the published training split; a run may have read fewer.",
    ]
    if results:
        parts += ["## Scores", _tuned_scores(results) if isinstance(results, FinetuneResult) else _scores(results)]
    parts += ["## Settings", _settings(config), "## Licence", _LICENCES, "## Citation", _CITATION]
    return "\n\n".join(parts) + "\n"


def base_model(config: TrainConfig) -> str | None:
    """The Hub name of what a run started from; None where that was random weights or a folder."""
    name = config.backbone.name
    is_hub_name = re.fullmatch(r"[\w-][\w.-]*(/[\w.-]+)?", name) and not Path(name).exists()
    return name if is_hub_name else None


def _metadata(config: TrainConfig, tasks: Sequence[Task]) -> str:
    """The card's YAML. All of the catalogue is English; of other data the language is not known."""
    summarizes = any(task.family is Family.SUMMARIZATION for task in tasks)
    datasets = [repository for task in tasks if (repository := _repository(task))]
    fields: dict[str, Any] = {
        "language": "en" if not any(task.key in registered_tasks() for task in tasks) else None,
        "license": "other",
        "library_name": "transformers",
        "pipeline_tag": "summarization" if summarizes else "feature-extraction",
        "base_model": base_model(config),
        "datasets": list(dict.fromkeys(datasets)),
        "tags": ["muppet", "pre-finetuning", "multi-task"],
    }
    known = {key: value for key, value in fields.items() if value}
    return f"---\n{yaml.safe_dump(known, sort_keys=False)}---"


def _summary(checkpoint: Checkpoint, config: TrainConfig, tasks: Sequence[Task]) -> str:
    base = base_model(config)
    kind = json.loads(checkpoint.backbone_config)["model_type"]
    subject = f"[{base}](https://huggingface.co/{base})" if base else f"A {kind} model"
    start = " from random weights" if config.backbone.config else ""
    if len(tasks) == 1:
        what = f"trained{start} on one dataset, {tasks[0].key}."
    else:
        counts = [(family, sum(task.family is family for task in tasks)) for family in Family]
        families = ", ".join(f"{count} {family.value}" for family, count in counts if count)
        what = (
            f"pre-finetuned ([MUPPET](https://arxiv.org/abs/2101.11038)){start} on {len(tasks)} datasets at once "
            f"({families}): a start for fine-tuning."
        )
    return f"{subject} {what} {checkpoint.batch:,} optimiser steps, {checkpoint.examples:,} examples."


def _how_to_load(tasks: Sequence[Task], classes: Mapping[str, HeadClass], reasons: Mapping[str, str]) -> str:
    summarizes = [task.family is Family.SUMMARIZATION for task in tasks]
    blocks = [_LOAD] if all(summarizes) else [f"{_LOAD}\n\n{_STATES}"]  # T5 and PEGASUS have no states without a target
    for family in (Family.CLASSIFICATION, Family.COMMONSENSE, Family.MRC):
        heads = [name for name in classes if head_family(name) is family]
        if heads:
            form = classes[heads[0]]
            blocks.append(_USES[family].format(auto=form.auto, folder=f"{HEADS}/{heads[0]}"))
    if any(summarizes):
        blocks.append(_USES[Family.SUMMARIZATION])
    parts = [f"```python\n{block}\n```" for block in blocks]
    parts += [f"In `heads.safetensors`, without a folder: {line}." for line in describe_reasons(reasons)]
    return "\n\n".join(parts)


def _task_table(tasks: Sequence[Task], classes: Mapping[str, HeadClass]) -> str:
    rows = []
    for task in tasks:
        repository = _repository(task)
        dataset = f"[{repository}](https://huggingface.co/datasets/{repository})" if repository else ""
        examples = task.origin.known_rows(task.train_split)
        size = "" if examples is None else f"{examples:,}"
        head = next((f"`{HEADS}/{name}`" for name in (task.key, task.family.value) if name in classes), "")
        rows.append((task.key, task.family.value, dataset, size, task.origin.licence, head))
    return markdown_table(("task", "family", "dataset", "training examples", "licence", "head"), rows, "lllrll")


def _scores(results: Sequence[TaskResult]) -> str:
    rows = [
        (r.task, r.primary, percent(r.score), percent(r.baseline_score), r.baseline_name, f"{r.examples:,}")
        for r in in_report_order(results)
    ]
    head = ("task", "metric", "score", "baseline", "which", "n")
    mean = f"Mean of the primary metrics: {percent(aggregate(results))} %."
    note = "Of the model's own heads, on `n` validation examples, in %; the baseline is a system that learns nothing."
    return f"{note} {mean}\n\n{markdown_table(head, rows, 'llrrlr')}"


def _tuned_scores(result: FinetuneResult) -> str:
    rows = [(result.task, name, percent(score), f"{result.examples:,}") for name, score in result.scores.items()]
    note = (
        f"On `n` validation examples, in %, of this run (seed {result.seed}). They chose these weights among its "
        f"evaluations, by {result.primary}."
    )
    return f"{note}\n\n{markdown_table(('task', 'metric', 'score', 'n'), rows, 'llrr')}"


_DATA = ("strategy", "step_examples", "weighting", "temperature", "max_examples_per_task")


def _settings(config: TrainConfig) -> str:
    """What decides what is learned; neither paths nor what only decides how fast."""
    chosen: dict[str, Any] = {
        "seed": config.seed,
        "max_duration": config.max_duration,
        "backbone": {"dropout": config.backbone.dropout},
        "data": {key: getattr(config.data, key) for key in _DATA},
        "optimizer": asdict(config.optimizer),
        "algorithms": asdict(config.algorithms),
    }
    rows = [
        (f"`{key}`", str(value.value if isinstance(value, Enum) else value))
        for key, value in flatten(chosen).items()
        if value is not None
    ]
    return markdown_table(("key", "value"), rows, "ll")


def _repository(task: Task) -> str:
    """The dataset's on the Hub, empty where it has none."""
    return task.origin.places[0].repository if task.origin.places else ""
