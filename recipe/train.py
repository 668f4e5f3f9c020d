"""Pre-finetune: many tasks at once, on top of a pretrained backbone.

    composer recipe/train.py yamls/roberta_base.yaml data.store=s3://bucket/shards
    composer -n 2 recipe/train.py yamls/demo.yaml optimizer.lr=1e-4 run_name=warm

The run goes to runs/<run_name>/: config.yaml, metrics.jsonl, tensorboard/, checkpoints/ (the last ones and the best).
The same command continues an interrupted run. Every key is explained below, in recipe/config.py.
"""

from __future__ import annotations

import atexit
import inspect
from collections.abc import Sequence
from pathlib import Path

from composer import Trainer
from composer.core import Callback, DataSpec, Evaluator
from composer.loggers import LoggerDestination, MLFlowLogger, TensorboardLogger, WandBLogger
from composer.utils import dist, reproducibility
from torch.distributed.checkpoint.state_dict import _get_fqns

import recipe.config
from recipe.algorithms.build import build_algorithms
from recipe.callbacks.aggregate import Aggregate, BestCheckpoint
from recipe.callbacks.jsonl_logger import JSONLLogger
from recipe.callbacks.resume import RestoreRNG, StopOnSignal
from recipe.callbacks.task_loss import TaskLoss
from recipe.callbacks.throughput import Throughput
from recipe.callbacks.upload import uploads
from recipe.checkpoint import FILENAME, RunRecord, check_architecture, check_kind, latest_checkpoint, read_shapes
from recipe.checkpoint_store import RunStore, begin_run, fetch_run
from recipe.command_line import add_configuration, make_parser, user_errors
from recipe.config import TrainConfig, load_config, tokenizer_name
from recipe.data.loader import build_evaluation_data, build_train_data
from recipe.data.store import open_labels, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.distributed import TIMEOUT_S, initialize_ranks, parallelism_config, resolve_precision
from recipe.models import MultitaskModel, build_model
from recipe.optimizer import build_optimizer, build_scheduler
from recipe.run_folder import RunFolder, run_path
from recipe.tasks import Task, get_task


def train(config: TrainConfig, callbacks: Sequence[Callback] = ()) -> RunFolder:
    """Runs or continues the training that ``config`` describes, with more callbacks if given; returns its folder."""
    initialize_ranks()
    reproducibility.seed_all(config.seed)
    store = None if config.checkpoint_store is None else RunStore(config.checkpoint_store, config.run_name)
    if store is not None:
        fetch_run(store, run_path(config))
    folder = RunFolder.open(config)
    if store is not None:
        begin_run(store, folder.path)
    tokenizer = load_tokenizer(tokenizer_name(config))
    model = build_model(config, tokenizer, open_labels(config.data.store, tokenizer, config.tasks))
    checkpoint = latest_checkpoint(folder.checkpoints)
    if checkpoint is not None:
        check_kind(checkpoint, config.sharded_checkpoints)
        check_architecture(model.network, read_shapes(checkpoint), checkpoint)
    with folder.shard_cache() as cache, uploads(store, folder.path, config.keep_checkpoints) as uploaders:
        train_data, evaluation_data = build_data(config, model, cache)
        trainer = build_trainer(
            config, folder, model, train_data, evaluation_data, checkpoint, callbacks=callbacks, uploaders=uploaders
        )
        elapsed = trainer.state.get_elapsed_duration()
        if elapsed is None or elapsed < 1:  # else the run was killed, or called again, after its last step
            trainer.fit()
        folder.mark_finished(trainer.state)
        _close(trainer)
    return folder


def _close(trainer: Trainer) -> None:
    """Also lets go of model and data, which Composer and torch would keep until the process ends."""
    trainer.close()
    atexit.unregister(trainer.engine._close)
    _get_fqns.cache_clear()


def build_data(config: TrainConfig, model: MultitaskModel, cache: str) -> tuple[DataSpec, dict[Task, DataSpec]]:
    """Training data, and evaluation data by task."""
    encoder_decoder = model.network.is_encoder_decoder
    shards = {
        split: open_store(config.data.store, model.tokenizer, config.tasks, split, cache, config.data.cache_limit)
        for split in ("train", "validation")
    }
    train_data = build_train_data(
        shards["train"],
        config.data.plan(config.seed),
        model.tokenizer,
        encoder_decoder=encoder_decoder,
        workers=config.data.workers,
        mask_whole_words=config.data.mask_whole_words,
    )
    evaluation_data = build_evaluation_data(
        shards["validation"],
        model.tokenizer,
        token_budget=config.data.token_budget,
        encoder_decoder=encoder_decoder,
        max_examples=config.data.max_validation_examples,
    )
    return train_data, evaluation_data


def build_trainer(
    config: TrainConfig,
    folder: RunFolder,
    model: MultitaskModel,
    train_data: DataSpec,
    evaluation_data: dict[Task, DataSpec],
    checkpoint: Path | None,
    *,
    callbacks: Sequence[Callback] = (),
    uploaders: Sequence[LoggerDestination] = (),
) -> Trainer:
    """Composer's Trainer, continuing from ``checkpoint`` if there is one; ``uploaders`` get every checkpoint."""
    restore_rng, stop = RestoreRNG(), StopOnSignal(config.save_interval)
    trainer = Trainer(
        run_name=config.run_name,
        model=model,
        train_dataloader=train_data,
        device_train_microbatch_size=1,  # split_batch decides: a batch is its list of microbatches
        eval_dataloader=[
            Evaluator(label=task.key, dataloader=data, metric_names=[f"^{task.key}/"], device_eval_microbatch_size=1)
            for task, data in evaluation_data.items()
        ],
        eval_interval=config.eval_interval,
        max_duration=config.max_duration,
        optimizers=build_optimizer(model, config.optimizer),
        schedulers=build_scheduler(config.optimizer),
        algorithms=build_algorithms(config, model, train_data, evaluation_data),
        callbacks=[restore_rng, stop, *build_callbacks(config, folder, model), *callbacks],
        loggers=[*build_loggers(config, folder), *uploaders],
        precision=resolve_precision(config.precision),
        parallelism_config=parallelism_config(config),
        seed=config.seed,
        dist_timeout=TIMEOUT_S,
        save_folder=str(folder.checkpoints),
        save_filename=FILENAME,
        save_latest_filename=None,
        save_interval=stop.save_now,
        save_num_checkpoints_to_keep=config.keep_checkpoints,
        save_overwrite=True,
        load_path=None if checkpoint is None else str(checkpoint),
        progress_bar=config.logging.progress_bar,
        log_to_console=not config.logging.progress_bar,
        console_log_interval=f"{config.logging.interval}ba",
    )
    restore_rng.trainer = trainer
    return trainer


def build_callbacks(config: TrainConfig, folder: RunFolder, model: MultitaskModel) -> list[Callback]:
    """What is recorded: the run in its checkpoints, losses, speed, the aggregate and its best checkpoint."""
    backbone_config = model.network.backbone.config.to_json_string(use_diff=False)
    decisive = config.algorithms.tartan.decisive_task
    return [
        RunRecord(folder.config_yaml, config.tasks, backbone_config, model.tokenizer, model.network.labels),
        TaskLoss(model, config.tasks, config.logging.interval),
        Throughput(config.logging.interval),
        Aggregate({key: get_task(key).primary_metric for key in config.tasks}),
        BestCheckpoint(folder.checkpoints, None if decisive is None else [decisive]),
    ]


def build_loggers(config: TrainConfig, folder: RunFolder) -> list[LoggerDestination]:
    loggers: list[LoggerDestination] = [JSONLLogger(folder.path)]
    if config.logging.tensorboard:
        loggers.append(
            TensorboardLogger(log_dir=str(folder.path / "tensorboard"), flush_interval=config.logging.interval)
        )
    if config.logging.wandb is not None:
        loggers.append(WandBLogger(**config.logging.wandb))
    if config.logging.mlflow is not None:
        loggers.append(MLFlowLogger(**config.logging.mlflow))
    return loggers


def main() -> None:
    keys = inspect.getsource(recipe.config).split("@dataclass", 1)[1].split("def load_config")[0]
    parser = make_parser("composer recipe/train.py", __doc__ or "", keys)
    add_configuration(parser, "configuration of the run, e.g. yamls/roberta_base.yaml", "optimizer.lr=1e-5")
    arguments = parser.parse_args()
    with user_errors():
        folder = train(load_config(arguments.yaml, arguments.overrides))
    if dist.get_global_rank() == 0:
        print(f"done: {folder.path}. Score its heads with: make score RUN={folder.path}")


if __name__ == "__main__":
    main()
