"""Weights by dataset size: functional form and Composer algorithm. T tasks."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recipe.algorithms.balancing.balancing import LossBalancing


def dataset_size_weights(sizes: Tensor) -> Tensor:
    """Weights (T,) in proportion to the numbers of examples (T,), their mean 1."""
    return sizes / sizes.mean()


class DatasetSizeWeighting(LossBalancing):
    """A task counts as much as it has examples, whatever the sampling.

    For steps that are means over tasks (``data.weighting: tasks``). A mean over the examples of natural samples weighs
    tasks by size by itself.

    Args:
        sizes: Training examples of each task.
        interval_batches: Steps between two records of the weights.
    """

    def __init__(self, sizes: Mapping[str, int], interval_batches: int = 10) -> None:
        super().__init__(tuple(sizes), interval_batches)
        self.weights = dataset_size_weights(torch.tensor(list(sizes.values()), dtype=torch.float64))
