"""The development gradient of META-TARTAN. n examples of a development batch, H hidden size, C classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from composer.core import State, get_precision_context
from composer.utils import dist
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.utils.hooks import RemovableHandle
from transformers.modeling_layers import GradientCheckpointingLayer

from recipe.algorithms.tartan.gradients import BodyGradients, add
from recipe.data.development import DevelopmentBatches, Share

_ITERATIONS, _LR, _WEIGHT_DECAY, _TOLERANCE = 10, 1e-3, 0.1, 1e-3  # the authors' code


def train_head(head: nn.Module, features: Tensor, labels: Tensor) -> None:
    """At most 10 steps of AdamW (lr 1e-3, decay 0.1) on one batch; fewer where the loss moves by less than 1e-3.

    Args:
        head: (n, H) to logits (n, C).
        features: (n, H) without gradient: the body is frozen.
        labels: (n,)
    """
    optimizer = torch.optim.AdamW(head.parameters(), lr=_LR, weight_decay=_WEIGHT_DECAY)
    before = float("inf")
    for _ in range(_ITERATIONS):
        optimizer.zero_grad()
        loss = F.cross_entropy(head(features).float(), labels)
        if abs(before - loss.item()) < _TOLERANCE:
            break
        loss.backward()
        optimizer.step()
        before = loss.item()


class DevelopmentGradient:
    """What would help the end task: the gradient of its development loss, under a head of its own (arXiv 2109.07437).

    A fresh head is trained on one development batch with the body frozen, the gradient with respect to the body taken
    on another, without dropout. Both batches are spread over the ranks: of the first the representations are put
    together, so that every rank trains the same head; of the second the gradients are summed.

    Args:
        batches: Draws both batches of a step.
        network: The model's, with ``represent(microbatch) -> (r, H)``: what a head reads of each row.
        new_head: A head on the CPU with random weights from torch's global generator.
        seed: Of the heads.
    """

    def __init__(self, batches: DevelopmentBatches, network: Any, new_head: Callable[[], nn.Module], seed: int) -> None:
        self.batches = batches
        self.network = network
        self.new_head = new_head
        self.seed = seed

    def prepare(self) -> None:
        """To be called once the network is sharded, if it will be."""
        if isinstance(self.network, FSDPModule):
            register_fsdp_forward_method(cast(nn.Module, self.network), "represent")

    def compute(self, state: State, gradients: BodyGradients) -> list[Tensor | None]:
        """The gradient at the current weights: the same on every rank, or each rank's shard."""
        step = state.timestamp.batch.value
        for_head, for_body = self.batches.draw(step)
        with _evaluating(self.network):
            head = self._train_head(state, for_head, step)
            total: list[Tensor | None] = [None] * len(gradients.body)
            for microbatch in state.device.batch_to_device(for_body.microbatches):
                with get_precision_context(state.precision, state.precision_config):
                    logits = head(self.network.represent(microbatch))
                losses = F.cross_entropy(logits.float(), _labels(microbatch), reduction="sum")
                total = add(total, gradients.of(losses * gradients.ranks_in_mean / for_body.examples))
        gradients.reduce(total)
        return total

    def _train_head(self, state: State, share: Share, step: int) -> nn.Module:
        features, labels = self._gather(state, share)
        words = np.random.SeedSequence([self.seed, step])
        with torch.random.fork_rng(devices=[]):
            # Not torch.manual_seed: it seeds GPUs' generators, too, and all ranks would draw the same dropout.
            torch.default_generator.manual_seed(int(words.generate_state(1, np.uint64)[0] >> np.uint64(1)))
            head = state.device.module_to_device(self.new_head()).eval()
        train_head(head, features, labels)
        return head.requires_grad_(False)

    def _gather(self, state: State, share: Share) -> tuple[Tensor, Tensor]:
        """Representations (n, H) and labels (n,) of the batch, all ranks' shares in place."""
        features, labels = None, state.device.tensor_to_device(torch.zeros(share.examples, dtype=torch.int64))
        places = [torch.from_numpy(place).to(labels.device) for place in share.places]
        for place, microbatch in zip(places, state.device.batch_to_device(share.microbatches), strict=True):
            with torch.no_grad(), get_precision_context(state.precision, state.precision_config):
                representation = self.network.represent(microbatch).float()
            if features is None:
                features = representation.new_zeros(share.examples, representation.shape[1])
            features[place], labels[place] = representation, _labels(microbatch)
        assert features is not None, "every rank has a share"
        dist.all_reduce(features)
        dist.all_reduce(labels)
        return features, labels


def _labels(microbatch: Any) -> Tensor:
    (segment,) = microbatch["segments"]
    return segment["labels"]


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Without dropout, backwards included; layers that keep no activations go on keeping none."""
    training = network.training
    network.eval()
    # Those compute again only in training, so that is what they are told; dropouts by the layer's own flag (BART's)
    # are off nevertheless, for the flag is down while the layer runs, in a backward, too.
    layers = [m for m in network.modules() if isinstance(m, GradientCheckpointingLayer) and m.gradient_checkpointing]
    hooks: list[RemovableHandle] = []
    for layer in layers:
        layer.training = True
        hooks.append(layer.register_forward_pre_hook(_lower_flag))
        hooks.append(layer.register_forward_hook(_raise_flag, always_call=True))  # a second run may be cut short
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
        network.train(training)


def _lower_flag(layer: nn.Module, *_: Any) -> None:
    layer.training = False


def _raise_flag(layer: nn.Module, *_: Any) -> None:
    layer.training = True
