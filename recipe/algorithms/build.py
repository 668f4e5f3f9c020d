"""The algorithms of a run, as its configuration asks for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from composer.core import Algorithm, DataSpec
from torch import Tensor

from recipe.algorithms.balancing import (
    DatasetSizeWeighting,
    DynamicWeightAverage,
    InverseLossWeighting,
    LossBalancing,
    UncertaintyWeighting,
)
from recipe.algorithms.idle_heads import FreezeIdleHeads
from recipe.algorithms.log_n_scaling import LogNLossScaling
from recipe.algorithms.r3f import R3F, R4F
from recipe.algorithms.tartan import DevelopmentGradient, MetaTartan, MTTartan
from recipe.config import AlgorithmsConfig, Balancing, Tartan, TrainConfig
from recipe.data.development import build_development_batches
from recipe.data.loader import dataset_of
from recipe.distributed import GlooShardedMean
from recipe.models import MultitaskModel
from recipe.optimizer import build_clipping
from recipe.tasks import Task, get_task


def build_algorithms(
    config: TrainConfig, model: MultitaskModel, train_data: DataSpec, evaluation_data: dict[Task, DataSpec]
) -> list[Algorithm]:
    """What every run needs, and the algorithms that the YAML switches on."""
    algorithms: list[Algorithm] = [
        build_clipping(config.optimizer),
        FreezeIdleHeads(lambda tasks: model.network.idle_parameters(tasks)),  # FSDP may yet wrap the network
    ]
    if config.algorithms.log_n_scaling:
        algorithms.append(LogNLossScaling(model.log_outcomes))
    if config.algorithms.balancing is not Balancing.none:
        algorithms.append(build_balancing(config, model, dataset_of(train_data).store.task_sizes))
    if config.algorithms.tartan.method is not Tartan.none:
        algorithms.append(build_tartan(config, model, evaluation_data))
    if config.algorithms.r3f.enabled:
        algorithms.append(build_r3f(config.algorithms, model, config.seed))
    if GlooShardedMean.needed(config.parallelism):
        algorithms.append(GlooShardedMean())
    return algorithms


def build_balancing(config: TrainConfig, model: MultitaskModel, sizes: dict[str, int]) -> LossBalancing:
    interval = config.logging.interval
    if config.algorithms.balancing is Balancing.dataset_size:
        return DatasetSizeWeighting(sizes, interval_batches=interval)
    if config.algorithms.balancing is Balancing.uncertainty:
        return UncertaintyWeighting(model.log_variances, config.tasks, interval_batches=interval)
    weighting = {Balancing.inverse_loss: InverseLossWeighting, Balancing.dwa: DynamicWeightAverage}
    return weighting[config.algorithms.balancing](_losses(config, model), config.tasks, interval_batches=interval)


def build_tartan(config: TrainConfig, model: MultitaskModel, evaluation_data: dict[Task, DataSpec]) -> MTTartan:
    tartan, interval = config.algorithms.tartan, config.logging.interval
    if tartan.method is Tartan.mt:
        return MTTartan(config.tasks, interval)
    assert tartan.end_task is not None
    end_task, network = tartan.end_task, model.network
    batches = build_development_batches(
        evaluation_data[get_task(end_task)],
        end_task,
        (tartan.head_examples, tartan.examples),
        token_budget=config.data.token_budget,
        encoder_decoder=network.is_encoder_decoder,
        seed=config.seed,
    )
    return MetaTartan(
        config.tasks,
        losses=_losses(config, model),
        development=DevelopmentGradient(batches, network, lambda: network.new_head(end_task), config.seed),
        body=network.backbone.parameters,
        lr=tartan.lr,
        similarity=tartan.similarity.value,
        interval_batches=interval,
    )


def _losses(config: TrainConfig, model: MultitaskModel) -> Callable[[Any, Any], Tensor]:
    """Of ``(outputs, batch)``, the loss of each example before any weight."""
    return model.scaled_losses if config.algorithms.log_n_scaling else model.raw_losses


def build_r3f(config: AlgorithmsConfig, model: MultitaskModel, seed: int) -> R3F:
    arguments = {
        "weight": config.r3f.weight,
        "eps": config.r3f.eps,
        "noise": config.r3f.noise.value,
        "seed": seed,
        "divergence": model.divergence,
    }
    return (R4F if config.r3f.spectral_norm else R3F)(**arguments)
