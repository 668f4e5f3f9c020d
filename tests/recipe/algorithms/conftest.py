"""A model and a Trainer that know nothing of this recipe: a plain Hugging Face classifier whose outputs are logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import torch.nn.functional as F
from composer import Algorithm, ComposerModel, Trainer
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import RobertaConfig, RobertaForSequenceClassification

CLASSES = 5
STEPS, EXAMPLES, MICROBATCH = 2, 4, 2
LEARNING_RATE = 0.05


class PlainClassifier(ComposerModel):
    """Rows without padding, so that position ids are the same whether ids or embeddings go in."""

    def __init__(self, reduction: str = "none") -> None:
        super().__init__()
        torch.manual_seed(0)
        config = RobertaConfig(
            vocab_size=64,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=64,
            max_position_embeddings=40,
            num_labels=CLASSES,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.model = RobertaForSequenceClassification(config)
        self.reduction = reduction
        with torch.no_grad():
            for parameter in self.model.parameters():
                parameter += 0.1 * torch.randn(parameter.shape)

    def forward(self, batch: dict[str, Tensor]) -> Tensor:
        return self.model(batch["input_ids"], batch["attention_mask"]).logits

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return F.cross_entropy(outputs, batch["labels"], reduction=self.reduction)


@pytest.fixture
def plain_classifier() -> type[PlainClassifier]:
    return PlainClassifier


@pytest.fixture
def examples() -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(3)
    return [
        {
            "input_ids": torch.randint(4, 64, (7,), generator=generator),
            "attention_mask": torch.ones(7, dtype=torch.int64),
            "labels": torch.randint(0, CLASSES, (), generator=generator),
        }
        for _ in range(STEPS * EXAMPLES)
    ]


@pytest.fixture
def fit(examples) -> Callable[..., PlainClassifier]:
    """``fit(model, algorithms)``: two steps of SGD, two microbatches each."""

    def run(model: PlainClassifier, algorithms: Sequence[Algorithm], steps: int = STEPS) -> PlainClassifier:
        trainer = Trainer(
            model=model,
            train_dataloader=DataLoader(examples, batch_size=EXAMPLES),  # pyright: ignore[reportArgumentType]
            max_duration=f"{steps}ba",
            device="cpu",
            optimizers=torch.optim.SGD(model.parameters(), lr=LEARNING_RATE),
            algorithms=algorithms,
            device_train_microbatch_size=MICROBATCH,
            progress_bar=False,
            seed=5,
        )
        trainer.fit()
        return model

    return run
