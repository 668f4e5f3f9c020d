"""Score a run's own heads on every task's validation split, against baselines, and write the report.

    make score RUN=runs/demo
    python recipe/score.py runs/roberta_large --split test --tasks mrpc,anli
    composer -n 8 recipe/score.py runs/roberta_large --checkpoint latest
    composer -n 8 recipe/score.py runs/bart_large --beam-search

Writes report.md, report.png, curves.png, results.json and predictions/<task>.parquet (every example's prediction and
reference, in the split's order) into the run's folder, those of the test split into the folder test below it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, cast

import torch
from composer.utils import dist, get_device
from torchmetrics import Metric
from tqdm import tqdm

from recipe.checkpoint import BEST_OR_LATEST, CheckpointError, find_checkpoint, read_checkpoint
from recipe.command_line import make_parser, user_errors
from recipe.data.loader import build_evaluation_data
from recipe.data.microbatch import Batch, Microbatch, count_examples
from recipe.data.store import open_store
from recipe.distributed import initialize_ranks
from recipe.models import MultitaskModel, restore_model
from recipe.protocol.result import Predictions, save_predictions
from recipe.report import TaskResult, write_report
from recipe.run_folder import METRICS
from recipe.tasks import Family, Task, get_task
from recipe.tasks.baselines import baseline
from recipe.tasks.metrics import build_metrics, is_labelled

PREDICTIONS = "predictions"  # the folder of them beside a report


class Scored(NamedTuple):
    """What the evaluation of one task found: scores, unless all labels are withheld, and predictions."""

    result: TaskResult | None
    predictions: Predictions


class _Seen(NamedTuple):
    """One example: its number in the store and on a leaderboard, what came out, and what the baseline looks at."""

    number: int
    prediction: Any
    reference: Any
    index: Any
    input: Any


def evaluate(model: MultitaskModel, task: Task, batches: Iterable[Batch], device: torch.device) -> Scored:
    """One task's scores, its baseline's, and every prediction in the split's order, over all ranks.

    Examples whose label is withheld are predicted, and count for no score.

    Args:
        model: On ``device``.
        batches: This rank's evaluation batches of the task.
    """
    metrics: dict[str, Metric] = {name: metric.to(device) for name, metric in build_metrics(task).items()}
    seen: list[_Seen] = []
    model.eval()
    with torch.inference_mode():
        for microbatch in chain.from_iterable(batches):
            microbatch = get_device(None).batch_to_device(microbatch)
            assert "ids" in microbatch  # as everywhere but in training
            (segment,) = model.eval_forward(microbatch)
            predictions, references, ids = segment["predictions"], segment["references"], microbatch["ids"].tolist()
            stored = cast(dict[str, Any], microbatch["segments"][0])["references"]
            indices = [reference.get("index") for reference in stored]
            columns = ids, predictions, references, indices, _baseline_inputs(task, microbatch, model)
            own = [_Seen(*values) for values in zip(*columns, strict=True)]
            labelled = _labelled(task, own)
            for metric in metrics.values():
                metric.update([one.prediction for one in labelled], [one.reference for one in labelled])
            seen += own
    scores = {key: float(metric.compute()) for key, metric in metrics.items()}
    seen = sorted(chain.from_iterable(dist.all_gather_object(seen)), key=lambda one: one.number)
    indices = [one.index for one in seen if one.index is not None]
    predictions = Predictions([one.prediction for one in seen], [one.reference for one in seen], indices)
    labelled = _labelled(task, seen)
    if not labelled:
        return Scored(None, predictions)
    name, baseline_scores = baseline(task, [one.reference for one in labelled], [one.input for one in labelled])
    result = TaskResult(task.key, task.family.value, len(labelled), scores, task.primary_metric, baseline_scores, name)
    return Scored(result, predictions)


def _labelled(task: Task, seen: Sequence[_Seen]) -> list[_Seen]:
    return [one for one in seen if is_labelled(task, one.reference)]


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
    split: str = "validation",
    tasks: Sequence[str] | None = None,
) -> Path:
    """Scores a checkpoint of a run and writes the report into the run's folder, of the test split into ``test`` in it.

    Args:
        run: The run's folder.
        checkpoint: ``best``, ``latest``, ``best_or_latest`` or the path of one.
        store: Shard store, if it is not where the run read it.
        max_examples: Takes a fixed random sample of larger splits.
        beam_search: Searches for summaries as their tasks say; else greedily, as the evaluations during training do.
        split: ``validation`` or ``test``.
        tasks: Keys of some of the run's tasks; None for all.

    Raises:
        CheckpointError: The run has no such checkpoint, or did not learn one of the tasks.
        StoreError: The store has no such split of a task, or one without labels.
    """
    path = find_checkpoint(run, checkpoint)
    scored = score_checkpoint(path, store, max_examples, beam_search, split, tasks)
    folder, name = (run, run.name) if split == "validation" else (run / split, f"{run.name}, {split} split")
    metrics = run / METRICS
    if dist.get_global_rank() == 0:
        for key, one in scored.items():
            save_predictions(folder / PREDICTIONS / f"{key}.parquet", one.predictions)
        results = [one.result for one in scored.values() if one.result is not None]
        steps = read_checkpoint(path).batch
        return write_report(folder, results, name, metrics if metrics.is_file() else None, steps)
    return folder / "report.md"


def score_checkpoint(
    path: Path,
    store: str | None = None,
    max_examples: int | None = None,
    beam_search: bool = False,
    split: str = "validation",
    tasks: Sequence[str] | None = None,
    predict_only: bool = False,
) -> dict[str, Scored]:
    """Scores tasks of a checkpoint, by key.

    Args:
        path: A checkpoint of this recipe.
        store: Shard store, if it is not where the run read it.
        max_examples: Takes a fixed random sample of larger splits.
        beam_search: Searches for summaries as their tasks say.
        split: ``validation`` or ``test``.
        tasks: Keys of some of its tasks; None for all.
        predict_only: Whether a split may be without labels.

    Raises:
        CheckpointError: It did not learn one of the tasks.
        StoreError: The store has no such split of a task; or one without labels, and scores are wanted.
    """
    initialize_ranks()
    loaded = read_checkpoint(path)
    model, config, tokenizer = restore_model(loaded)  # which makes a user's tasks known
    keys = loaded.tasks if tasks is None else list(tasks)
    if strangers := [key for key in keys if get_task(key).learned_as not in loaded.tasks]:
        raise CheckpointError(f"{path}: did not learn {', '.join(strangers)}; its tasks: {', '.join(loaded.tasks)}")
    model.beam_search = beam_search
    model = get_device(None).module_to_device(model)
    scored = {}
    with TemporaryDirectory() as cache:
        shards = open_store(store or config.data.store, tokenizer, keys, split, cache)
        if not predict_only:
            shards.check_labelled()
        data = build_evaluation_data(
            shards,
            tokenizer,
            token_budget=config.data.token_budget,
            encoder_decoder=model.network.is_encoder_decoder,
            max_examples=max_examples,
        )
        progress = tqdm(keys, desc="scoring", unit="task", disable=dist.get_global_rank() != 0)
        for key in progress:
            progress.set_postfix_str(key)
            task = get_task(key)
            scored[key] = evaluate(model, task, data[task].dataloader, next(model.parameters()).device)
    return scored


def main() -> None:
    parser = make_parser("recipe/score.py", __doc__ or "")
    parser.add_argument("run", type=Path, help="folder of the run, runs/<name>")
    which = "best, latest, or a checkpoint's path; default: the best where there is one, as recipe.export takes"
    parser.add_argument("--checkpoint", default=BEST_OR_LATEST, help=which)
    parser.add_argument("--split", choices=("validation", "test"), default="validation", help="default: %(default)s")
    parser.add_argument("--tasks", type=lambda text: text.split(","), help="some of the run's tasks, comma separated")
    parser.add_argument("--max-examples", type=int, help="a fixed random sample of larger splits")
    parser.add_argument("--beam-search", action="store_true", help="search for summaries with the published settings")
    parser.add_argument("--store", help="shard store, if it is not where the run read it")
    arguments = parser.parse_args()
    with user_errors():
        report = score_run(
            arguments.run,
            arguments.checkpoint,
            arguments.store,
            arguments.max_examples,
            arguments.beam_search,
            arguments.split,
            arguments.tasks,
        )
    if dist.get_global_rank() == 0:
        print(report.read_text(encoding="utf-8"))
        print(f"written: {report} with report.png, results.json and {PREDICTIONS}/ beside it")


if __name__ == "__main__":
    main()
