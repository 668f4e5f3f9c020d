"""Gradients of the shared body, one at a time, that leave what training accumulates alone."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from composer.utils import dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class BodyGradients:
    """Takes gradients of losses with respect to the parameters that all tasks share.

    Replicated parameters (one process, DDP): ``torch.autograd.grad``, of which DDP takes no notice: a gradient is this
    rank's alone. Sharded ones (FSDP2): a backward, which every rank must run, with ``.grad`` set aside meanwhile: a
    gradient is this rank's shard of the mean over ranks; where ranks hold copies (HSDP), every shard is on one of each.

    Args:
        body: The shared parameters.
        parameters: All of the model's, the body's among them.
    """

    def __init__(self, body: Iterable[nn.Parameter], parameters: Iterable[nn.Parameter]) -> None:
        self.body = [parameter for parameter in body if parameter.requires_grad]
        self.parameters = list(parameters)
        self.sharded = any(isinstance(parameter, DTensor) for parameter in self.parameters)

    @property
    def ranks_in_mean(self) -> int:
        """By how much a rank's loss is to be multiplied to count fully: 1, or the number of ranks if they are averaged.

        On CPUs FSDP2 gets a sum where it asks gloo for a mean (:class:`recipe.distributed.GlooShardedMean`).
        """
        return dist.get_world_size() if self.sharded and torch.cuda.is_available() else 1

    def of(self, loss: Tensor, keep_graph: bool = False) -> list[Tensor | None]:
        """The gradient of a loss (), a tensor a parameter of the body, None for one that the loss does not reach."""
        if not self.sharded:
            return list(torch.autograd.grad(loss, self.body, retain_graph=keep_graph, allow_unused=True))
        accumulated = [parameter.grad for parameter in self.parameters]
        self._clear()
        loss.backward(retain_graph=keep_graph)
        gradients = [None if p.grad is None else _local(p.grad) for p in self.body]
        for parameter, gradient in zip(self.parameters, accumulated, strict=True):
            parameter.grad = gradient
        return gradients

    def reduce(self, gradients: list[Tensor | None]) -> None:
        """Sums gradients over ranks in place, where a backward has not done so already."""
        if not self.sharded:
            for gradient in gradients:
                if gradient is not None:
                    dist.all_reduce(gradient)

    def sum_shards(self, products: Tensor) -> None:
        """Sums over ranks in place what each found of its shards; whole gradients have no such parts."""
        if self.sharded:
            dist.all_reduce(products)
            products /= _copies(self.body[0])

    def _clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None


def dot(one: list[Tensor | None], other: list[Tensor | None]) -> Tensor:
    """Scalar product () in fp32 of two gradients as :meth:`BodyGradients.of` gives them; of the shards, if they are."""
    pairs = [(a, b) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    if not pairs:
        return torch.zeros(())
    return torch.stack([torch.dot(a.flatten().float(), b.flatten().float()) for a, b in pairs]).sum()


def add(one: list[Tensor | None], other: list[Tensor | None]) -> list[Tensor | None]:
    """The sum of two gradients."""
    return [a if b is None else b if a is None else a.add_(b) for a, b in zip(one, other, strict=True)]


def _copies(parameter: Tensor) -> int:
    """How often each shard of a parameter exists."""
    assert isinstance(parameter, DTensor)
    placed = enumerate(parameter.placements)
    return math.prod(parameter.device_mesh.size(axis) for axis, placement in placed if placement.is_replicate())


def _local(gradient: Tensor) -> Tensor:
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient
