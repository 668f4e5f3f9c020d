"""Evaluate a run's own heads on every task's validation split and write the report.

    make eval RUN=runs/demo
    composer -n 8 recipe/evaluate.py runs/roberta_large --checkpoint best

Writes report.md, report.png, curves.png and results.json into the run's folder.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from composer.utils import dist, get_device
from torchmetrics import Metric
from tqdm import tqdm

from recipe.checkpoint import BEST, CheckpointError, latest_checkpoint, read_checkpoint
from recipe.data.loader import build_evaluation_data
from recipe.data.microbatch import Batch, Microbatch
from recipe.data.store import open_store
from recipe.distributed import initialize_ranks
from recipe.errors import UserError
from recipe.models import MultitaskModel, restore_model
from recipe.report import TaskResult, write_report
from recipe.tasks import Family, Task, get_task
from recipe.tasks.baselines import baseline
from recipe.tasks.metrics import build_metrics


def evaluate(model: MultitaskModel, task: Task, batches: Iterable[Batch], device: torch.device) -> TaskResult:
    """One task's scores and its baseline's, over all ranks.

    Args:
        model: On ``device``.
        batches: This rank's evaluation batches of the task.
    """
    metrics: dict[str, Metric] = {name: metric.to(device) for name, metric in build_metrics(task).items()}
    references, inputs = [], []
    model.eval()
    with torch.inference_mode():
        for microbatch in chain.from_iterable(batches):
            microbatch = get_device(None).batch_to_device(microbatch)
            (segment,) = model.eval_forward(microbatch)
            for metric in metrics.values():
                metric.update(segment["predictions"], segment["references"])
            references += segment["references"]
            inputs += _baseline_inputs(task, microbatch, model)
    references, inputs = (list(chain.from_iterable(dist.all_gather_object(part))) for part in (references, inputs))
    name, baseline_scores = baseline(task, references, inputs)
    scores = {key: float(metric.compute()) for key, metric in metrics.items()}
    return TaskResult(task.key, task.family.value, len(references), scores, task.primary_metric, baseline_scores, name)


def _baseline_inputs(task: Task, microbatch: Microbatch, model: MultitaskModel) -> list[Any]:
    """What the family's baseline looks at, one an example: number of choices, context or document."""
    segment = cast(dict[str, Any], microbatch["segments"][0])
    if task.family is Family.COMMONSENSE:
        return segment["choices"].tolist()
    if task.family is Family.MRC:
        return [reference["context"] for reference in segment["references"]]
    if task.family is Family.SUMMARIZATION:
        return model.tokenizer.batch_decode(microbatch["input_ids"], skip_special_tokens=True)
    return []


def evaluate_run(run: Path, checkpoint: str, store: str | None = None, max_examples: int | None = None) -> Path:
    """Evaluates a checkpoint of a run and writes the report into the run's folder.

    Args:
        run: The run's folder.
        checkpoint: ``latest``, ``best`` or the path of one.
        store: Shard store, if it is not where the run read it.
        max_examples: Takes a fixed random sample of larger validation splits.

    Raises:
        CheckpointError: The run has no such checkpoint.
    """
    initialize_ranks()
    loaded = read_checkpoint(_find_checkpoint(run, checkpoint))
    model, config, tokenizer = restore_model(loaded)
    model = get_device(None).module_to_device(model)
    results = []
    with TemporaryDirectory() as cache:
        shards = open_store(store or config.data.store, tokenizer, loaded.tasks, "validation", cache)
        data = build_evaluation_data(
            shards,
            tokenizer,
            token_budget=config.data.token_budget,
            encoder_decoder=model.network.is_encoder_decoder,
            max_examples=max_examples,
        )
        silent = dist.get_global_rank() != 0
        progress = tqdm(loaded.tasks, desc="evaluating", unit="task", disable=silent)
        for key in progress:
            progress.set_postfix_str(key)
            task = get_task(key)
            results.append(evaluate(model, task, data[task].dataloader, next(model.parameters()).device))
    metrics = run / "metrics.jsonl"
    if not silent:
        return write_report(run, results, config.run_name, metrics if metrics.is_file() else None)
    return run / "report.md"


def _find_checkpoint(run: Path, which: str) -> Path:
    folder = run / "checkpoints"
    named = {"best": folder / BEST, "latest": latest_checkpoint(folder)}
    path = named.get(which, Path(which))
    if path is None or not path.exists():
        raise CheckpointError(f"no checkpoint {which!r} in {run}: give the folder of a run that has trained, or a path")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="recipe/evaluate.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the run, runs/<name>")
    parser.add_argument("--checkpoint", default="latest", help="latest (default), best, or a checkpoint's path")
    parser.add_argument("--max-examples", type=int, help="a fixed random sample of larger validation splits")
    parser.add_argument("--store", help="shard store, if it is not where the run read it")
    arguments = parser.parse_args()
    try:
        report = evaluate_run(arguments.run, arguments.checkpoint, arguments.store, arguments.max_examples)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if dist.get_global_rank() == 0:
        print(report.read_text(encoding="utf-8"))
        print(f"written: {report} with report.png and results.json beside it")


if __name__ == "__main__":
    main()
