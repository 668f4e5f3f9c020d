"""Batches of the end task's validation split, for what is learned during training from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from composer.core import DataSpec
from composer.utils import dist
from numpy.typing import NDArray

from recipe.data.batch_plan import Examples, Ids, PlanSettings, Strategy
from recipe.data.cut_step import cut_step
from recipe.data.loader import MicrobatchDataset, Planned, dataset_of, plan_examples
from recipe.data.microbatch import Microbatch
from recipe.errors import UserError


class Share(NamedTuple):
    """A rank's part of a batch.

    Attributes:
        microbatches: As many on every rank.
        places: Of each microbatch's examples in the batch.
        examples: Of the whole batch.
    """

    microbatches: list[Microbatch]
    places: list[NDArray[np.int64]]
    examples: int


@dataclass(frozen=True)
class DevelopmentBatches:
    """Draws two batches a step that share no example, as microbatches of the token budget.

    What is drawn depends on seed and step alone, so a resumed run draws the same, on any number of ranks.

    Attributes:
        dataset: Reads microbatches of the validation split.
        examples: What planning knows of its examples.
        ids: Of the end task's.
        sizes: Examples of the two batches.
        token_budget: Padded tokens of a microbatch.
        seed: Of the draw.
        rank: This one.
        ranks: How many there are.
    """

    dataset: MicrobatchDataset
    examples: Examples
    ids: Ids
    sizes: tuple[int, int]
    token_budget: int
    seed: int
    rank: int
    ranks: int

    def __post_init__(self) -> None:
        if sum(self.sizes) > len(self.ids):
            raise UserError(
                f"algorithms.tartan: head_examples={self.sizes[0]} and examples={self.sizes[1]} are more than the end "
                f"task's validation split has ({len(self.ids)}): make them smaller"
            )
        if min(self.sizes) < self.ranks:
            raise UserError(
                f"algorithms.tartan: head_examples={self.sizes[0]} and examples={self.sizes[1]} must be at least one "
                f"for each of the {self.ranks} ranks: make them larger"
            )

    def draw(self, step: int) -> tuple[Share, Share]:
        """This rank's shares of the step's two batches."""
        rng = np.random.default_rng((self.seed, step))
        drawn = rng.choice(self.ids, sum(self.sizes), replace=False)
        first, second = np.split(drawn, [self.sizes[0]])
        return self._share(first), self._share(second)

    def _share(self, batch: Ids) -> Share:
        settings = PlanSettings(Strategy.MIXED, 0, self.token_budget, seed=0)
        own = cut_step(self.examples, batch, settings, self.ranks)[self.rank]
        place = {int(example): index for index, example in enumerate(batch)}
        places = [np.array([place[int(example)] for example in ids]) for ids in own]
        return Share([self.dataset[Planned(ids)] for ids in own], places, len(batch))


def build_development_batches(
    evaluation_data: DataSpec, task: str, sizes: tuple[int, int], *, token_budget: int, encoder_decoder: bool, seed: int
) -> DevelopmentBatches:
    """Batches of a task's validation split, all of it.

    Raises:
        UserError: It has too few examples, or a batch has fewer than there are ranks.
    """
    dataset = dataset_of(evaluation_data)
    examples = plan_examples(dataset.store, encoder_decoder)
    ids = np.flatnonzero(dataset.store.task_of == [entry.key for entry in dataset.store.tasks].index(task))
    budget = max(token_budget, int(examples.padded_tokens[ids].max()))
    return DevelopmentBatches(
        dataset, examples, ids, sizes, budget, seed, rank=dist.get_global_rank(), ranks=dist.get_world_size()
    )
