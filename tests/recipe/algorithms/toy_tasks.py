"""Linear classifiers on one shared layer: tasks for algorithms that weigh tasks, small enough to compute by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from composer import Algorithm, ComposerModel, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from recipe.data.loader import batches_of_microbatches

FEATURES, HIDDEN, CLASSES = 6, 8, 3
LEARNING_RATE = 0.1

Example = tuple[str, Tensor, int]  # task, features (F,), class


class ToyNetwork(nn.Module):
    """A shared layer and a head for each task; ``log_variances`` for uncertainty weighting."""

    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.backbone = nn.Linear(FEATURES, HIDDEN)
        self.heads = nn.ModuleDict({task: nn.Linear(HIDDEN, CLASSES) for task in tasks})
        self.log_variances = nn.Parameter(torch.zeros(len(tasks)))

    def represent(self, batch: dict[str, Any]) -> Tensor:
        return torch.tanh(self.backbone(batch["input_ids"]))

    def forward(self, batch: dict[str, Any]) -> list[dict[str, Tensor]]:
        hidden = self.represent(batch)
        idle = 0.0 * sum(parameter.sum() for parameter in self.heads.parameters())
        outputs = [{"logits": self.heads[s["task"]](hidden[slice(*s["examples"])]) + idle} for s in batch["segments"]]
        outputs[0]["log_variances"] = self.log_variances.clone()
        return outputs


class ToyModel(ComposerModel):
    def __init__(self, tasks: Sequence[str]) -> None:
        super().__init__()
        self.network = ToyNetwork(tasks)

    def forward(self, batch: dict[str, Any]) -> list[dict[str, Tensor]]:
        return self.network(batch)

    def loss(self, outputs: list[dict[str, Tensor]], batch: dict[str, Any]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return F.cross_entropy(torch.cat([o["logits"] for o in outputs]), batch["labels"], reduction="none")


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
    return {
        "input_ids": features,
        "attention_mask": torch.ones(features.shape[0]),
        "labels": labels,
        "segments": segments,
    }


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
    **options: Any,
) -> Trainer:
    """One epoch over the steps with SGD."""
    trainer = Trainer(
        model=model,
        train_dataloader=batches_of_microbatches(DataLoader(steps, batch_size=None)),  # pyright: ignore[reportArgumentType]
        max_duration=f"{len(steps)}ba",
        device="cpu",
        optimizers=torch.optim.SGD(model.parameters(), lr=LEARNING_RATE),
        algorithms=algorithms(),
        device_train_microbatch_size=1,
        progress_bar=False,
        seed=5,
        **options,
    )
    trainer.fit()
    return trainer
