"""Which examples stand for a validation split that is too large to be scored as a whole. N examples of one task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recipe.data.batch_plan import Ids
from recipe.data.store import ShardStore
from recipe.tasks.metrics import scores_whole_groups

_SEED = 0  # the sample is the same in every run


def sample_split(store: ShardStore, task: int, most: int | None) -> Ids:
    """Which of a task's examples to score, in the store's order.

    Args:
        store: Of an evaluation split.
        task: Index into the store's tasks.
        most: How many; None for all. Where a metric asks for whole groups, as few of them as reach the number.
    """
    ids = np.flatnonzero(store.task_of == task)
    if most is None or len(ids) <= most:
        return ids
    if scores_whole_groups(store.tasks[task]):
        return ids[sample_groups([store[int(i)]["reference"]["group"] for i in ids], most)]
    return np.sort(np.random.default_rng(_SEED).choice(ids, most, replace=False))


def sample_groups(groups: Sequence[str], most: int) -> Ids:
    """Indices, ascending, of the examples of whole groups, drawn at random until they are ``most`` or more.

    Of a question with one answer left nearly every prediction is right as a whole, so single answers are no sample.

    Args:
        groups: (N,) the group of each example.
        most: At most N.
    """
    _, group_of, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(_SEED).permutation(len(sizes))
    taken = order[: np.searchsorted(sizes[order].cumsum(), most) + 1]
    return np.flatnonzero(np.isin(group_of, taken))
