"""Fine-tune one task from any start, score it on its validation split, keep the best weights and every prediction.

    composer recipe/finetune.py yamls/finetune/rte.yaml start=roberta-base
    composer recipe/finetune.py yamls/finetune/rte.yaml start=runs/roberta_base optimizer.lr=1e-5 seed=2
    composer -n 2 recipe/finetune.py yamls/finetune/squad.yaml start=exported/roberta_large reuse_head=no

The run goes to runs/finetune/<run_name>/: result.json and predictions.parquet beside what every run has. The same
command continues an interrupted run; with score_test=true it also scores the test split, of a finished run, too
(test_predictions.parquet). Every key is explained below; data, optimizer, algorithms and logging have those of
`composer recipe/train.py --help`.
"""

from __future__ import annotations

import inspect
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from composer.utils import dist
from filelock import FileLock

from recipe.callbacks.early_stopping import StopWithoutGain
from recipe.checkpoint import BEST, CHECKPOINTS, CheckpointError
from recipe.command_line import add_configuration, make_parser, user_errors
from recipe.config import TrainConfig, tokenizer_name
from recipe.data.store import check_labelled, open_manifests
from recipe.data.tokenizer import load_tokenizer
from recipe.distributed import initialize_ranks
from recipe.errors import UserError
from recipe.export import exported_start
from recipe.models import has_head
from recipe.protocol.finetune_config import FinetuneConfig, ReuseHead, load_finetune_config, train_config
from recipe.protocol.result import RESULT, TEST_PREDICTIONS, FinetuneResult, load_result, save_result
from recipe.report.numbers import percent
from recipe.run_folder import METRICS, check_continuation
from recipe.score import score_checkpoint
from recipe.tasks import Family, Task, get_task
from recipe.train import train
from recipe.yaml_keys import ConfigError

SMALL_TASK = 10_000  # training examples; RTE, CB, MRPC and their like have fewer. The paper says "small", no number


def finetune(config: FinetuneConfig) -> FinetuneResult:
    """Runs or continues a fine-tuning, or returns the result that its folder already has.

    Raises:
        ConfigError: ``reuse_head=yes``, and the start has no head for the task.
        RunFolderError: The folder holds a run with other settings.
        CheckpointError: ``score_test``, and the run is finished and has not kept its weights.
        StoreError: ``score_test``, and the store has no test split of the task, or one without labels.
    """
    initialize_ranks()
    folder = Path(config.runs) / config.run_name
    backbone = exported_start(config.start)
    reuse = reuses_head(config, backbone)
    own = train_config(config, backbone, reuse)
    if config.score_test and not (folder / TEST_PREDICTIONS).is_file():
        check_labelled(config.data.store, load_tokenizer(tokenizer_name(own)), [config.task], "test")
    with _alone_in(folder):
        if (folder / RESULT).is_file():
            check_continuation(folder, own)
        else:
            _finetune(config, own, folder)
        dist.barrier()
        if config.score_test and load_result(folder).test_scores is None:
            _score_test(config, folder)
        if not config.keep_weights and dist.get_global_rank() == 0:
            shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)
        dist.barrier()
    return load_result(folder)


def reuses_head(config: FinetuneConfig, backbone: str) -> bool:
    """Whether to go on with the start's head.

    ``auto`` follows MUPPET: reading comprehension, commonsense and small sentence-prediction tasks do. A summarization
    task has no head besides the decoder, which comes with the start in any case: ``yes`` only asks that it has learned
    to summarize.

    Args:
        config: Of the run.
        backbone: Where the weights are: a Hub name or a folder.

    Raises:
        ConfigError: ``reuse_head=yes``, and there is no such head.
        StoreError: The store cannot tell how many training examples a task has that the catalogue does not know.
    """
    task = get_task(config.task)
    there = has_head(Path(backbone), task)
    if config.reuse_head is ReuseHead.yes and not there:
        lack = f"{config.start} has no head for {task.key}; it was not trained on it"
        if task.family is Family.SUMMARIZATION:
            lack = f"{config.start} has learned no summarization task"
        raise ConfigError(f"reuse_head=yes: {lack}, or is no run or exported folder: set reuse_head=auto")
    if not there or config.reuse_head is not ReuseHead.auto:
        return there and config.reuse_head is ReuseHead.yes
    if task.family in (Family.MRC, Family.COMMONSENSE):
        return True
    return task.family is not Family.SUMMARIZATION and _count_examples(config, backbone, task) < SMALL_TASK


def _count_examples(config: FinetuneConfig, backbone: str, task: Task) -> int:
    """To train on: the published number, or the shards' own (of a user's task, and where a split is parted)."""
    published = task.origin.known_rows(task.train_split)
    if published is not None:
        return published
    tokenizer = load_tokenizer(config.tokenizer or backbone)
    return sum(one.written for one in open_manifests(config.data.store, tokenizer, [task.key], "train"))


def _finetune(config: FinetuneConfig, own: TrainConfig, folder: Path) -> None:
    began = time.monotonic()
    task = get_task(config.task)
    train(own, [] if config.patience is None else [StopWithoutGain(config.patience)])
    limit = config.data.max_validation_examples
    scored = score_checkpoint(folder / CHECKPOINTS / BEST, max_examples=limit, beam_search=True)[task.key]
    assert scored.result is not None  # its examples have labels
    if dist.get_global_rank() != 0:
        return
    lines = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    result = FinetuneResult(
        task=task.key,
        family=task.family.value,
        start=config.start,
        seed=config.seed,
        fraction=config.data.fraction,
        primary=task.primary_metric,
        scores=scored.result.metrics,
        examples=scored.result.examples,
        hyperparameters={"lr": config.optimizer.lr, "eps": config.optimizer.eps, "dropout": config.dropout},
        reused_head=own.backbone.reuse_heads,
        steps=lines[-1]["time/batch"],
        trained_examples=lines[-1]["time/sample"],
        trained_tokens=lines[-1]["time/token"],
        seconds=time.monotonic() - began,
        curve=[(line["step"], line["metrics/aggregate"]) for line in lines if "metrics/aggregate" in line],
    )
    save_result(folder, result, scored.predictions)


def _score_test(config: FinetuneConfig, folder: Path) -> None:
    """Adds the scores of the test split to the result.

    Raises:
        CheckpointError: The weights are gone.
    """
    best = folder / CHECKPOINTS / BEST
    if not best.is_file():
        raise CheckpointError(
            f"{folder}: its weights were not kept, so score_test needs another run: give a new run_name"
        )
    scored = score_checkpoint(best, config.data.store, beam_search=True, split="test", tasks=[config.task])[config.task]
    assert scored.result is not None  # check_labelled
    if dist.get_global_rank() == 0:
        tested = replace(load_result(folder), test_scores=scored.result.metrics, test_examples=scored.result.examples)
        save_result(folder, tested, scored.predictions, test=True)
    dist.barrier()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process group at a time: a run whose launcher was killed may still be writing here."""
    if dist.get_global_rank() == 0:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot write {folder} ({error.strerror}): set runs=<a folder that you can write>"
            ) from error
        with FileLock(folder / ".lock"):
            dist.barrier()
            yield
    else:
        dist.barrier()
        yield


def _listed(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {percent(score)}" for name, score in scores.items())


def main() -> None:
    parser = make_parser("composer recipe/finetune.py", __doc__ or "", inspect.getsource(FinetuneConfig))
    add_configuration(parser, "configuration of the run, e.g. yamls/finetune/rte.yaml", "start=roberta-base")
    arguments = parser.parse_args()
    with user_errors():
        config = load_finetune_config(arguments.yaml, arguments.overrides)
        result = finetune(config)
    if dist.get_global_rank() == 0:
        tested = "" if result.test_scores is None else f"; test split: {_listed(result.test_scores)}"
        where = Path(config.runs) / config.run_name / RESULT
        print(f"{result.task} from {result.start}: {_listed(result.scores)}{tested} ({where})")


if __name__ == "__main__":
    main()
