"""Score a run's own heads on every task's validation split, against baselines, and write the report.

    make score RUN=runs/demo
    composer -n 8 recipe/score.py runs/roberta_large --checkpoint best
    composer -n 8 recipe/score.py runs/bart_large --beam-search

Writes report.md, report.png, curves.png and results.json into the run's folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import torch
from composer.utils import dist, get_device
from torchmetrics import Metric
from tqdm import tqdm

from recipe.checkpoint import find_checkpoint, read_checkpoint
from recipe.command_line import make_parser, user_errors
from recipe.data.loader import build_evaluation_data
from recipe.data.microbatch import Batch, Microbatch, count_examples
from recipe.data.store import open_store
from recipe.distributed import initialize_ranks
from recipe.models import MultitaskModel, restore_model
from recipe.protocol.result import Predictions
from recipe.report import TaskResult, write_report
from recipe.run_folder import METRICS
from recipe.tasks import Family, Task, get_task
from recipe.tasks.baselines import baseline
from recipe.tasks.metrics import build_metrics


class Scored(NamedTuple):
    """What the evaluation of one task found."""

    result: TaskResult
    predictions: Predictions


def evaluate(model: MultitaskModel, task: Task, batches: Iterable[Batch], device: torch.device) -> Scored:
    """One task's scores, its baseline's, and every prediction in the split's order, over all ranks.

    Args:
        model: On ``device``.
        batches: This rank's evaluation batches of the task.
    """
    metrics: dict[str, Metric] = {name: metric.to(device) for name, metric in build_metrics(task).items()}
    seen: list[tuple[int, Any, Any, Any]] = []  # number, prediction, reference, what the baseline looks at
    model.eval()
    with torch.inference_mode():
        for microbatch in chain.from_iterable(batches):
            microbatch = get_device(None).batch_to_device(microbatch)
            assert "ids" in microbatch  # as everywhere but in training
            (segment,) = model.eval_forward(microbatch)
            for metric in metrics.values():
                metric.update(segment["predictions"], segment["references"])
            inputs = _baseline_inputs(task, microbatch, model)
            ids = microbatch["ids"].tolist()
            seen += zip(ids, segment["predictions"], segment["references"], inputs, strict=True)
    scores = {key: float(metric.compute()) for key, metric in metrics.items()}
    seen = sorted(chain.from_iterable(dist.all_gather_object(seen)), key=lambda example: example[0])
    _, predictions, references, inputs = (list(column) for column in zip(*seen, strict=True))
    name, baseline_scores = baseline(task, references, inputs)
    result = TaskResult(task.key, task.family.value, len(seen), scores, task.primary_metric, baseline_scores, name)
    return Scored(result, Predictions(predictions, references))


def _baseline_inputs(task: Task, microbatch: Microbatch, model: MultitaskModel) -> list[Any]:
    """What the family's baseline looks at, one an example: number of choices, context or document."""
    segment = cast(dict[str, Any], microbatch["segments"][0])
    if task.family is Family.COMMONSENSE:
        return segment["choices"].tolist()
    if task.family is Family.MRC:
        return [reference["context"] for reference in segment["references"]]
    if task.family is Family.SUMMARIZATION:
        return model.tokenizer.batch_decode(microbatch["input_ids"], skip_special_tokens=True)
    return [None] * count_examples(microbatch)


def score_run(
    run: Path,
    checkpoint: str,
    store: str | None = None,
    max_examples: int | None = None,
    beam_search: bool = False,
) -> Path:
    """Scores a checkpoint of a run and writes the report into the run's folder.

    Args:
        run: The run's folder.
        checkpoint: ``latest``, ``best`` or the path of one.
        store: Shard store, if it is not where the run read it.
        max_examples: Takes a fixed random sample of larger validation splits.
        beam_search: Searches for summaries as their tasks say; else greedily, as the evaluations during training do.

    Raises:
        CheckpointError: The run has no such checkpoint.
    """
    path = find_checkpoint(run, checkpoint)
    scored = score_checkpoint(path, store, max_examples, beam_search)
    metrics = run / METRICS
    if dist.get_global_rank() == 0:
        results = [one.result for one in scored.values()]
        steps = read_checkpoint(path).batch
        return write_report(run, results, run.name, metrics if metrics.is_file() else None, steps)
    return run / "report.md"


def score_checkpoint(
    path: Path, store: str | None = None, max_examples: int | None = None, beam_search: bool = False
) -> dict[str, Scored]:
    """Scores every task of a checkpoint, by key.

    Args:
        path: A checkpoint of this recipe.
        store: Shard store, if it is not where the run read it.
        max_examples: Takes a fixed random sample of larger validation splits.
        beam_search: Searches for summaries as their tasks say.
    """
    initialize_ranks()
    loaded = read_checkpoint(path)
    model, config, tokenizer = restore_model(loaded)
    model.beam_search = beam_search
    model = get_device(None).module_to_device(model)
    scored = {}
    with TemporaryDirectory() as cache:
        shards = open_store(store or config.data.store, tokenizer, loaded.tasks, "validation", cache)
        data = build_evaluation_data(
            shards,
            tokenizer,
            token_budget=config.data.token_budget,
            encoder_decoder=model.network.is_encoder_decoder,
            max_examples=max_examples,
        )
        progress = tqdm(loaded.tasks, desc="scoring", unit="task", disable=dist.get_global_rank() != 0)
        for key in progress:
            progress.set_postfix_str(key)
            task = get_task(key)
            scored[key] = evaluate(model, task, data[task].dataloader, next(model.parameters()).device)
    return scored


def main() -> None:
    parser = make_parser("recipe/score.py", __doc__ or "")
    parser.add_argument("run", type=Path, help="folder of the run, runs/<name>")
    parser.add_argument("--checkpoint", default="latest", help="latest (default), best, or a checkpoint's path")
    parser.add_argument("--max-examples", type=int, help="a fixed random sample of larger validation splits")
    parser.add_argument("--beam-search", action="store_true", help="search for summaries with the published settings")
    parser.add_argument("--store", help="shard store, if it is not where the run read it")
    arguments = parser.parse_args()
    with user_errors():
        report = score_run(
            arguments.run, arguments.checkpoint, arguments.store, arguments.max_examples, arguments.beam_search
        )
    if dist.get_global_rank() == 0:
        print(report.read_text(encoding="utf-8"))
        print(f"written: {report} with report.png and results.json beside it")


if __name__ == "__main__":
    main()
