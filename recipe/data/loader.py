"""Shard store + batch plan -> the DataLoaders that Composer runs.

An index of the dataset is a planned microbatch (the ids of its examples), and the batch sampler yields a rank's of one
step. So a batch is the list of microbatches that Composer accumulates, and gradient accumulation follows from the
token budget.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from composer.core import DataSpec
from composer.utils import dist
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.data.batch_plan import Examples, Ids, PlanSettings, Strategy, Weighting, plan_epoch, step_weights
from recipe.data.collate import collate
from recipe.data.cut_step import check_budget, check_ranks, cut_step
from recipe.data.masking import Masking
from recipe.data.microbatch import Batch, Microbatch, count_examples, count_tokens
from recipe.data.sample import sample_split
from recipe.data.store import ShardStore
from recipe.tasks import Family, Task


class Planned(NamedTuple):
    """A microbatch to read.

    Attributes:
        ids: Of its examples (B,).
        step_tasks: Indices of the tasks in the whole step, all ranks'; None in evaluation.
        weights: Of its examples (B,); None: all weigh 1.
        moment: Epoch and step, for what is drawn anew each time; nothing in evaluation.
    """

    ids: Ids
    step_tasks: NDArray[np.int32] | None = None
    weights: NDArray[np.float32] | None = None
    moment: tuple[int, ...] = ()


def plan_examples(store: ShardStore, encoder_decoder: bool) -> Examples:
    """What the batch plan needs to know of a store's examples.

    With an encoder-decoder a row without target goes through the decoder as well, so it costs its length twice. So does
    a masked one, of which an example has one: its target is the row as it was, and what is read is no longer than that.
    """
    rows, longest, target = store.lengths.astype(np.int64).T
    needs_decoder = np.array([task.needs_decoder for task in store.tasks])[store.task_of]
    masked = np.array([task.family is Family.MASKED_LM for task in store.tasks])[store.task_of]
    decoder = np.where(needs_decoder, target, longest if encoder_decoder else 0)
    generates = needs_decoder | (masked & encoder_decoder)
    return Examples(store.task_of, np.where(masked, 1, rows), longest, decoder, generates)


class MicrobatchDataset(Dataset[Microbatch]):
    """Reads microbatches by the ids of their examples, and carries the resume position that Composer stores.

    Composer asks the training dataset for its state with the number of samples of the current epoch, and hands it back
    when a run resumes; :class:`PlanSampler` starts there.
    """

    def __init__(
        self,
        store: ShardStore,
        tokenizer: PreTrainedTokenizerFast,
        plan: dict[str, Any] | None = None,
        seed: int = 0,
        mask_whole_words: bool = False,
        encoder_decoder: bool = False,
    ):
        self.store = store
        self.pad_token_id = cast(int, tokenizer.pad_token_id)
        masks = any(task.family is Family.MASKED_LM for task in store.tasks)
        self.masking = Masking.of(tokenizer, seed, mask_whole_words, infills=encoder_decoder) if masks else None
        self.plan = plan or {}
        self.samples_to_skip = 0

    def __len__(self) -> int:
        return len(self.store)

    def __getitem__(self, planned: Planned) -> Microbatch:  # pyright: ignore[reportIncompatibleMethodOverride]
        by_task = np.argsort(self.store.task_of[planned.ids], kind="stable")
        ids = planned.ids[by_task]
        examples = [(self.store.tasks[self.store.task_of[i]], self._read(int(i), planned.moment)) for i in ids]
        microbatch = collate(examples, self.pad_token_id)
        if planned.step_tasks is None:
            microbatch["ids"] = torch.from_numpy(ids)
        else:
            microbatch["step_tasks"] = tuple(self.store.tasks[index].key for index in planned.step_tasks)
        if planned.weights is not None:
            microbatch["weights"] = torch.from_numpy(planned.weights[by_task])
        return microbatch

    def _read(self, example: int, moment: tuple[int, ...]) -> dict[str, Any]:
        """The stored columns; of an example to be masked its first row, masked, and what it was.

        ``second`` stays where it was though spans that hide behind a mask may have moved it: no encoder-decoder has
        token types.
        """
        stored = self.store[example]
        if self.store.tasks[self.store.task_of[example]].family is not Family.MASKED_LM:
            return stored
        assert self.masking is not None
        tokens = stored["tokens"][: stored["row_lengths"][0]].astype(np.int64)
        read, originals = self.masking(tokens, moment, example)
        masked = {
            "tokens": read,
            "row_lengths": np.array([len(read)]),
            "second": stored["second"][:1],
            "originals": originals,
        }
        masked |= {"target": tokens} if self.masking.infills else {}
        return masked | ({"reference": {}} if "reference" in stored else {})

    def state_dict(self, num_samples: int, from_beginning: bool) -> dict[str, Any]:
        return {"samples_in_epoch": num_samples, "plan": self.plan}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError if the checkpoint's steps were planned from other data or settings."""
        for key, value in self.plan.items():
            before = state["plan"].get(key, value)  # a key that is newer than the checkpoint has its old meaning
            if before != value:
                raise ValueError(
                    f"cannot resume: {key} was {before!r} in the checkpoint and is {value!r} now; "
                    "restore it, or start a new run with another run_name"
                )
        self.samples_to_skip = state["samples_in_epoch"]


class PlanSampler(DistributedSampler):
    """Yields this rank's microbatches of each step of the planned epoch (Composer calls ``set_epoch``)."""

    def __init__(self, dataset: MicrobatchDataset, examples: Examples, settings: PlanSettings):
        super().__init__(dataset, num_replicas=dist.get_world_size(), rank=dist.get_global_rank(), shuffle=False)
        self.total_size = len(dataset)  # nothing is padded: tells Composer's evaluation to drop nothing
        self.examples = examples
        self.settings = settings
        self._planned: tuple[int, list[Ids]] | None = None

    def steps(self) -> list[Ids]:
        if self._planned is None or self._planned[0] != self.epoch:
            steps = plan_epoch(self.examples, self.settings, self.epoch)
            names = [task.key for task in cast(MicrobatchDataset, self.dataset).store.tasks]
            check_ranks(self.examples, steps, self.num_replicas, names)
            self._planned = (self.epoch, steps)
        return self._planned[1]

    def __len__(self) -> int:
        return len(self.steps())

    def __iter__(self) -> Iterator[list[Planned]]:
        dataset = cast(MicrobatchDataset, self.dataset)
        to_skip, dataset.samples_to_skip = dataset.samples_to_skip, 0
        for number, step in enumerate(self.steps()):
            if to_skip >= len(step):
                to_skip -= len(step)
                continue
            yield [planned._replace(moment=(self.epoch, number)) for planned in self._own_microbatches(step)]

    def _own_microbatches(self, step: Ids) -> list[Planned]:
        own = cut_step(self.examples, step, self.settings, self.num_replicas)[self.rank]
        tasks = np.unique(self.examples.task[step])
        if self.settings.weighting is Weighting.EXAMPLES:
            return [Planned(ids, tasks) for ids in own]
        weights = step_weights(self.examples.task, step)
        return [Planned(ids, tasks, weights[self.examples.task[ids]]) for ids in own]


class EvaluationSampler(DistributedSampler):
    """Yields this rank's microbatches of one task, longest first, each as a batch of its own."""

    def __init__(self, dataset: MicrobatchDataset, examples: Examples, settings: PlanSettings, ids: Ids):
        super().__init__(dataset, num_replicas=dist.get_world_size(), rank=dist.get_global_rank(), shuffle=False)
        self.total_size = len(dataset)
        self.microbatches = cut_step(examples, ids, settings, self.num_replicas)[self.rank]

    def __len__(self) -> int:
        return len(self.microbatches)

    def __iter__(self) -> Iterator[list[Planned]]:
        return iter([Planned(ids)] for ids in self.microbatches)


def build_train_data(
    store: ShardStore,
    settings: PlanSettings,
    tokenizer: PreTrainedTokenizerFast,
    *,
    encoder_decoder: bool,
    workers: int,
    mask_whole_words: bool = False,
) -> DataSpec:
    """The training data of a run.

    Raises:
        PlanError: The token budget is smaller than some example, or a step has fewer examples than there are ranks.
    """
    examples = plan_examples(store, encoder_decoder)
    if settings.locality is not None:
        examples = replace(examples, shard=np.repeat(np.arange(len(store.shard_sizes)), store.shard_sizes))
    check_budget(examples, settings.token_budget, [task.key for task in store.tasks])
    plan = {
        "tasks": list(store.task_sizes),
        "examples of each task": list(store.task_sizes.values()),
        "seed": settings.seed,
        "data.step_examples": settings.step_examples,
        "data.strategy": settings.strategy.value,
        "data.max_examples_per_task": settings.max_examples_per_task,
        "data.fraction": settings.fraction,
        "data.temperature": settings.temperature,
        "data.max_steps_per_epoch": settings.max_steps_per_epoch,
        "data.locality": settings.locality,
    }
    dataset = MicrobatchDataset(store, tokenizer, plan, settings.seed, mask_whole_words, encoder_decoder)
    sampler = PlanSampler(dataset, examples, settings)
    sampler.steps()  # what cannot be planned stops here
    return _data_spec(dataset, sampler, workers)


def dataset_of(data: DataSpec) -> MicrobatchDataset:
    """The dataset behind training or evaluation data."""
    return cast(MicrobatchDataset, cast(DataLoader, data.dataloader).dataset)


def build_evaluation_data(
    store: ShardStore,
    tokenizer: PreTrainedTokenizerFast,
    *,
    token_budget: int,
    encoder_decoder: bool,
    max_examples: int | None = None,
) -> dict[Task, DataSpec]:
    """Evaluation data, one per task; ``max_examples`` takes a fixed random sample of larger splits.

    Where a metric asks whether a group's examples are all right, the sample is of whole groups.
    """
    examples = plan_examples(store, encoder_decoder)
    largest = int(examples.padded_tokens.max())
    settings = PlanSettings(Strategy.MIXED, 0, max(token_budget, largest), seed=0)
    specs = {}
    for index, task in enumerate(store.tasks):
        ids = sample_split(store, index, max_examples)
        dataset = MicrobatchDataset(store, tokenizer, encoder_decoder=encoder_decoder)
        specs[task] = _data_spec(dataset, EvaluationSampler(dataset, examples, settings, ids), workers=0)
    return specs


def _data_spec(dataset: MicrobatchDataset, sampler: DistributedSampler, workers: int) -> DataSpec:
    loader = DataLoader(
        dataset,
        batch_sampler=cast(Any, sampler),
        collate_fn=_as_batch,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        generator=torch.Generator(),  # its own: drawing from the global one would break bitwise resume
    )
    return batches_of_microbatches(loader)


def batches_of_microbatches(loader: DataLoader) -> DataSpec:
    """What Composer must know of a loader whose batches are lists of microbatches."""
    return DataSpec(
        loader,
        split_batch=lambda batch, _: batch,
        get_num_samples_in_batch=count_examples,
        get_num_tokens_in_batch=count_tokens,
    )


def _as_batch(microbatches: list[Microbatch]) -> Batch:
    return microbatches
