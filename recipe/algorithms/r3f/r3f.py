"""R3F: functional form and Composer algorithm. B is the number of a microbatch's examples, n of outcomes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args

import numpy as np
import torch
import torch.nn.functional as F
from composer.core import Algorithm, Event, State, get_precision_context
from composer.loggers import Logger
from composer.utils import dist
from torch import Tensor, nn
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import CheckpointImpl, CheckpointWrapper
from torch.nn.parallel import DistributedDataParallel

Noise = Literal["uniform", "normal"]


def symmetric_kl(logits: Tensor, noised_logits: Tensor) -> Tensor:
    """KL(p || q) + KL(q || p) = sum over outcomes of (p - q) (log p - log q), in fp32 (arXiv 2008.03156, equation 4).

    Gradients flow through both sides. Impossible outcomes must hold the lowest *finite* value in both arguments (not
    minus infinity, whose difference is not a number): they then count for nothing.

    Args:
        logits: (..., n), p is their softmax.
        noised_logits: (..., n), q is their softmax.

    Returns:
        (...), in nats, never below 0 but for rounding.
    """
    log_p = F.log_softmax(logits.float(), dim=-1)
    log_q = F.log_softmax(noised_logits.float(), dim=-1)
    return ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(dim=-1)


@contextmanager
def embedding_noise(
    embeddings: nn.Module, eps: float, distribution: Noise, generator: torch.Generator
) -> Iterator[None]:
    """Add z to the output of ``embeddings`` while the context is open, on every call of it.

    A hook, not ``inputs_embeds``: Hugging Face models compute other position ids for the latter. Under autocast the sum
    is fp32 whatever the output was, or an ``eps`` of 1e-5 would round away in bf16.

    Args:
        embeddings: The token embedding module.
        eps: Size of z: U(-eps, eps) or N(0, eps^2) (arXiv 2008.03156, section 2.2).
        distribution: ``"uniform"`` or ``"normal"``.
        generator: Draws z, on the device of the embeddings; the global generators (dropout) are not touched.
    """

    def add_noise(module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
        z = torch.empty(output.shape, dtype=torch.float32, device=output.device)
        z = (
            z.uniform_(-eps, eps, generator=generator)
            if distribution == "uniform"
            else z.normal_(0, eps, generator=generator)
        )
        noised = output.float() + z
        return noised if torch.is_autocast_enabled(output.device.type) else noised.to(output.dtype)

    handle = embeddings.register_forward_hook(add_noise)
    try:
        yield
    finally:
        handle.remove()


def find_token_embeddings(module: nn.Module) -> nn.Module:
    """The token embedding module of the first Hugging Face model inside ``module``; an encoder-decoder's encoder's.

    Raises:
        ValueError: There is none, or encoder and decoder share one module, so that noise would reach the decoder too.
    """
    model = next((m for m in module.modules() if callable(getattr(m, "get_input_embeddings", None))), None)
    if model is None:
        raise ValueError(
            f"R3F finds no token embeddings in {type(module).__name__}: no submodule has get_input_embeddings(); "
            "give R3F embeddings=lambda model: <the embedding module>"
        )
    if not getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        return model.get_input_embeddings()  # pyright: ignore[reportCallIssue]
    encoder = _token_embeddings(model.get_encoder())  # pyright: ignore[reportCallIssue]
    if encoder is _token_embeddings(model.get_decoder()):  # pyright: ignore[reportCallIssue]
        raise ValueError(
            f"R3F adds noise to the encoder only, but {type(model).__name__}'s encoder and decoder share one embedding "
            "module: use a backbone with a module for each (BART)"
        )
    return encoder


def _token_embeddings(stack: Any) -> nn.Module:
    try:
        return stack.get_input_embeddings()
    except NotImplementedError:  # PEGASUS's encoder has them under the usual name, and does not say so
        return stack.embed_tokens


class R3F(Algorithm):
    """Robust representations through regularised fine-tuning (arXiv 2008.03156, equation 4).

    Adds ``weight * (KL(p || q) + KL(q || p))`` to each example's loss, p predicted from the input, q from the same
    input with noise on the (encoder's) token embeddings. The second forward goes through ``state.model``, as the first
    did, so that DDP and FSDP see two ordinary forwards; its dropout masks are its own, as in the authors' code. It
    doubles the cost and the activation memory of a microbatch. Only training is touched.

    It runs at ``Event.BEFORE_BACKWARD``, after everything at ``Event.AFTER_LOSS``: whatever the order of the
    algorithms, its term is *not* divided by log n (:class:`recipe.algorithms.log_n_scaling.LogNLossScaling`). The noise
    is seeded by seed, batch, microbatch and rank: resuming repeats it exactly.

    Attributes:
        last_divergence: The last microbatch's mean divergence, unweighted, detached; None before the first.

    Args:
        weight: lambda. With 0 there is no second forward. Default: ``1.0``.
        eps: Size of the noise. Default: ``1e-5``.
        noise: ``"uniform"`` (the authors' for classification) or ``"normal"``. Default: ``"uniform"``.
        seed: Of the noise. Default: ``17``.
        embeddings: Of ``state.model``, the module whose output gets the noise. Default: the token embeddings of the
            first Hugging Face model in it.
        divergence: Of ``(outputs, noised outputs, batch)``, one divergence per example (B,). Default:
            :func:`symmetric_kl`, for a model whose outputs are logits (B, n).

    Raises:
        ValueError: An impossible argument; at the start of training, reentrant activation checkpointing, with which
            two forwards give wrong gradients.

    Example:
        .. testcode::

            from recipe.algorithms.r3f import R3F

            algorithm = R3F(weight=0.7)  # a plain Hugging Face classifier whose outputs are logits
            # algorithm = R3F(divergence=model.divergence)  # the multi-task model
    """

    def __init__(
        self,
        weight: float = 1.0,
        eps: float = 1e-5,
        noise: Noise = "uniform",
        seed: int = 17,
        embeddings: Callable[[nn.Module], nn.Module] = find_token_embeddings,
        divergence: Callable[[Any, Any, Any], Tensor] | None = None,
    ) -> None:
        if weight < 0:
            raise ValueError(f"R3F's weight must not be negative, got {weight}")
        if eps <= 0:
            raise ValueError(f"R3F's eps must be above 0, got {eps}: weight=0 turns R3F off")
        if noise not in get_args(Noise):
            raise ValueError(f"R3F's noise must be one of {', '.join(get_args(Noise))}, got {noise!r}")
        self.weight = weight
        self.eps = eps
        self.noise: Noise = noise
        self.seed = seed
        self.embeddings = embeddings
        self.divergence = divergence or (lambda outputs, noised_outputs, batch: symmetric_kl(outputs, noised_outputs))
        self.last_divergence: Tensor | None = None
        self._microbatch = 0

    def match(self, event: Event, state: State) -> bool:
        return self.weight > 0 and event in (Event.FIT_START, Event.BEFORE_TRAIN_BATCH, Event.BEFORE_BACKWARD)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.FIT_START:
            _refuse_reentrant_checkpointing(state.model)
        elif event == Event.BEFORE_TRAIN_BATCH:
            self._microbatch = 0
        else:
            self._add_divergence(state)
            self._microbatch += 1

    def _add_divergence(self, state: State) -> None:
        if not isinstance(state.loss, Tensor):
            raise ValueError(f"R3F needs a model whose loss() returns one tensor, got {type(state.loss).__name__}")
        with (
            get_precision_context(state.precision, state.precision_config),
            embedding_noise(self.embeddings(state.model), self.eps, self.noise, self._generator(state)),
            _buffers_left_alone(state.model),
        ):
            noised_outputs = state.model(state.batch)
        divergence = self.divergence(state.outputs, noised_outputs, state.batch)
        self.last_divergence = divergence.detach().mean()
        state.loss = state.loss + self.weight * (
            divergence if divergence.shape == state.loss.shape else divergence.mean()
        )

    def _generator(self, state: State) -> torch.Generator:
        batch = state.timestamp.batch.value
        words = np.random.SeedSequence([self.seed, batch, self._microbatch, dist.get_global_rank()])
        seed = int(words.generate_state(1, np.uint64)[0] >> np.uint64(1))
        return torch.Generator(device=next(state.model.parameters()).device).manual_seed(seed)


@contextmanager
def _buffers_left_alone(model: nn.Module) -> Iterator[None]:
    """DDP writes rank 0's buffers into every rank's before a forward, position ids that the first graph still needs."""
    if not isinstance(model, DistributedDataParallel):
        yield
        return
    broadcast, model.broadcast_buffers = model.broadcast_buffers, False
    try:
        yield
    finally:
        model.broadcast_buffers = broadcast


def _refuse_reentrant_checkpointing(model: nn.Module) -> None:
    for name, module in model.named_modules():
        wrapped = isinstance(module, CheckpointWrapper) and module.checkpoint_impl is CheckpointImpl.REENTRANT
        keywords = getattr(getattr(module, "_gradient_checkpointing_func", None), "keywords", {})
        enabled = getattr(module, "gradient_checkpointing", False) and keywords.get("use_reentrant", True)
        if wrapped or enabled:
            raise ValueError(
                f"R3F's second forward gives wrong gradients with reentrant activation checkpointing (on {name!r}): "
                "set activation_checkpointing_reentrant: false (FSDP) or use_reentrant=False (Hugging Face)"
            )
