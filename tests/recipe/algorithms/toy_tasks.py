"""Linear classifiers on one shared layer: tasks for algorithms that weigh tasks, small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from composer import Algorithm, ComposerModel, Trainer
from composer.utils import dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from recipe.algorithms.tartan import DevelopmentGradient, MetaTartan
from recipe.data.development import DevelopmentBatches, Share
from recipe.data.loader import batches_of_microbatches
from recipe.data.microbatch import Microbatch

FEATURES, HIDDEN, CLASSES = 6, 8, 3
LEARNING_RATE = 0.1

Example = tuple[str, Tensor, int]  # task, features (F,), class


class ToyNetwork(nn.Module):
    """A shared layer and a head for each task; ``log_variances`` for uncertainty weighting."""

    def __init__(self, tasks: Sequence[str], width: int | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Sequential(nn.Linear(FEATURES, HIDDEN))
        if width is not None:
            wide = (nn.Linear(FEATURES, width), nn.Linear(width, width), nn.Linear(width, HIDDEN))
            self.backbone = nn.Sequential(*wide)
        self.heads = nn.ModuleDict({task: nn.Linear(HIDDEN, CLASSES) for task in tasks})
        self.log_variances = nn.Parameter(torch.zeros(len(tasks)))

    def represent(self, batch: dict[str, Any]) -> Tensor:
        return torch.tanh(self.backbone(batch["input_ids"]))

    def forward(self, batch: dict[str, Any]) -> list[dict[str, Tensor]]:
        hidden = self.represent(batch)
        idle = 0.0 * sum(parameter.sum() for parameter in (*self.heads.parameters(), self.log_variances))
        outputs = [{"logits": self.heads[s["task"]](hidden[slice(*s["examples"])]) + idle} for s in batch["segments"]]
        outputs[0]["log_variances"] = self.log_variances.clone()
        return outputs


def toy_losses(outputs: list[dict[str, Tensor]], batch: dict[str, Any]) -> Tensor:
    """The loss of each example (B,)."""
    return F.cross_entropy(torch.cat([o["logits"] for o in outputs]), toy_labels(batch), reduction="none")


def toy_labels(batch: dict[str, Any]) -> Tensor:
    return torch.cat([segment["labels"] for segment in batch["segments"]])


class ToyModel(ComposerModel):
    def __init__(self, tasks: Sequence[str], width: int | None = None) -> None:
        super().__init__()
        self.network = ToyNetwork(tasks, width)

    def forward(self, batch: dict[str, Any]) -> list[dict[str, Tensor]]:
        return self.network(batch)

    def loss(self, outputs: list[dict[str, Tensor]], batch: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        return toy_losses(outputs, batch)


def toy_examples(tasks: Sequence[str], count: int, seed: int = 1) -> list[Example]:
    """``count`` of each task; the same weights and noise tell every task's classes."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randn(FEATURES, CLASSES, generator=generator)
    features = torch.randn(len(tasks), count, FEATURES, generator=generator)
    labels = (features @ truth + torch.randn(len(tasks), count, CLASSES, generator=generator)).argmax(dim=-1)
    return [(task, features[t, i], int(labels[t, i])) for i in range(count) for t, task in enumerate(tasks)]


def toy_microbatch(examples: Sequence[Example]) -> dict[str, Any]:
    """Examples of one task must be neighbours."""
    segments: list[dict[str, Any]] = []
    for place, (task, *_) in enumerate(examples):
        if not segments or segments[-1]["task"] != task:
            segments.append({"task": task, "family": "classification", "examples": (place, place)})
        segments[-1]["examples"] = (segments[-1]["examples"][0], place + 1)
    features = torch.stack([features for _, features, _ in examples])
    labels = torch.tensor([label for *_, label in examples])
    for segment in segments:
        segment["labels"] = labels[slice(*segment["examples"])]
    return {"input_ids": features, "attention_mask": torch.ones(len(examples)), "segments": segments}


def cut(examples: Sequence[Example], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """A step's microbatches of so many examples, each sorted by task."""
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    return [
        toy_microbatch(sorted(examples[start : start + size], key=lambda example: example[0]))
        for start, size in zip(starts, sizes, strict=True)
    ]


def fit_toy(
    model: ToyModel,
    steps: Sequence[list[dict[str, Any]]],
    algorithms: Callable[[], Sequence[Algorithm]],
    lr: float = LEARNING_RATE,
    **options: Any,
) -> Trainer:
    """One epoch over this rank's steps with SGD."""
    dealt = [step for step in steps for _ in range(dist.get_world_size())]  # the sampler deals them to ranks in turn
    dataset = cast(Dataset[Any], dealt)  # a list will do
    loader = DataLoader(dataset, batch_size=None, sampler=dist.get_sampler(dataset, shuffle=False))
    trainer = Trainer(
        model=model,
        train_dataloader=batches_of_microbatches(loader),
        max_duration=f"{len(steps)}ba",
        device="cpu",
        optimizers=torch.optim.SGD(model.parameters(), lr=lr),
        algorithms=algorithms(),
        device_train_microbatch_size=1,
        progress_bar=False,
        seed=5,
        **options,
    )
    trainer.fit()
    return trainer


class ToyBatches:
    """Development batches of a step, all ranks' shares alike but for one example a rank more or less."""

    def __init__(self, examples: Sequence[Example], sizes: tuple[int, int] = (8, 12), rank: int = 0, ranks: int = 1):
        self.examples, self.sizes, self.rank, self.ranks = examples, sizes, rank, ranks

    def whole(self, step: int) -> tuple[list[Example], list[Example]]:
        order = torch.randperm(len(self.examples), generator=torch.Generator().manual_seed(step)).tolist()
        drawn = [self.examples[index] for index in order[: sum(self.sizes)]]
        return drawn[: self.sizes[0]], drawn[self.sizes[0] :]

    def draw(self, step: int) -> tuple[Share, Share]:
        first, second = self.whole(step)
        return self._share(first), self._share(second)

    def _share(self, batch: list[Example]) -> Share:
        own = np.array_split(np.arange(len(batch)), self.ranks)[self.rank]
        places = np.array_split(own, 2)  # two microbatches
        microbatches = [cast(Microbatch, toy_microbatch([batch[i] for i in place])) for place in places]
        return Share(microbatches, places, len(batch))


def fixed_head() -> nn.Module:
    """A fresh head that is the same each time, small enough for ten steps to make it the end task's."""
    head = nn.Linear(HIDDEN, CLASSES)
    generator = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.copy_(1e-3 * torch.randn(parameter.shape, generator=generator))
    return head


def meta_tartan(model: ToyModel, tasks: Sequence[str], batches: ToyBatches, **options: Any) -> MetaTartan:
    development = DevelopmentGradient(cast(DevelopmentBatches, batches), model.network, fixed_head, seed=0)
    return MetaTartan(tasks, toy_losses, development, model.network.backbone.parameters, **options)
