"""Weigh the tasks' losses against one another: by dataset size, inverse loss, uncertainty, or DWA."""

from recipe.algorithms.balancing.balancing import LossBalancing as LossBalancing
from recipe.algorithms.balancing.balancing import weigh_by_task as weigh_by_task
from recipe.algorithms.balancing.dataset_size import DatasetSizeWeighting as DatasetSizeWeighting
from recipe.algorithms.balancing.dataset_size import dataset_size_weights as dataset_size_weights
from recipe.algorithms.balancing.dwa import DynamicWeightAverage as DynamicWeightAverage
from recipe.algorithms.balancing.dwa import dwa_weights as dwa_weights
from recipe.algorithms.balancing.inverse_loss import InverseLossWeighting as InverseLossWeighting
from recipe.algorithms.balancing.inverse_loss import inverse_loss_weights as inverse_loss_weights
from recipe.algorithms.balancing.measured import MeasuredBalancing as MeasuredBalancing
from recipe.algorithms.balancing.uncertainty import UncertaintyWeighting as UncertaintyWeighting

__all__ = [
    "DatasetSizeWeighting",
    "DynamicWeightAverage",
    "InverseLossWeighting",
    "LossBalancing",
    "MeasuredBalancing",
    "UncertaintyWeighting",
    "dataset_size_weights",
    "dwa_weights",
    "inverse_loss_weights",
    "weigh_by_task",
]
