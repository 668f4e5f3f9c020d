"""R4F: R3F with spectral normalisation of the classification heads' last layer (arXiv 2008.03156, section 2.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from composer.core import Event, State
from composer.loggers import Logger
from torch import nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import parametrizations, parametrize

from recipe.algorithms.r3f.r3f import R3F


def add_spectral_norm(linears: Iterable[nn.Linear]) -> None:
    """Replace each weight W by W / sigma(W), sigma its largest singular value.

    Sigma is estimated by one power iteration a training forward (arXiv 1802.05957, section 2.1). The trained parameter
    stays the same object, so an optimiser that already holds it goes on working.

    Raises:
        ValueError: A weight is sharded already: a shard's spectral norm is not the matrix's.
    """
    for linear in linears:
        if isinstance(linear.weight, DTensor):
            raise ValueError("spectral norm must be added before FSDP shards the model: a shard has another norm")
        if not parametrize.is_parametrized(linear, "weight"):
            parametrizations.spectral_norm(linear, "weight")


def remove_spectral_norm(linears: Iterable[nn.Linear]) -> None:
    """Leave W / sigma(W) as each linear's plain weight, for export: predictions in evaluation mode stay the same."""
    for linear in linears:
        if parametrize.is_parametrized(linear, "weight"):
            linear.eval()  # in training mode, reading the weight moves sigma
            parametrize.remove_parametrizations(linear, "weight", leave_parametrized=True)


def find_projections(model: nn.Module) -> list[nn.Linear]:
    """Last linears (``out_proj`` after ``dense``, as Hugging Face names them) of heads that tell classes apart.

    Raises:
        ValueError: There is none.
    """
    heads = (m for m in model.modules() if isinstance(getattr(m, "dense", None), nn.Linear))
    projections = [p for p in (getattr(h, "out_proj", None) for h in heads) if isinstance(p, nn.Linear)]
    projections = [p for p in projections if p.out_features > 1]
    if not projections:
        raise ValueError(
            f"R4F finds no classification head in {type(model).__name__}: "
            "give R4F projections=lambda model: [<linears>]"
        )
    return projections


class R4F(R3F):
    """:class:`R3F` that also bounds the heads: spectral normalisation of their last layer, added at ``Event.INIT``.

    ``Event.INIT`` runs before Composer shards the model and before it loads a checkpoint, so both see the final names.
    Call :func:`remove_spectral_norm` before exporting the heads.

    Args:
        projections: Of ``state.model``, the linears to normalise. Default: the last one of each classification head.
        kwargs: Those of :class:`R3F`.

    Example:
        .. testcode::

            from recipe.algorithms.r3f import R4F

            algorithm = R4F(weight=1.0, eps=1e-5)
    """

    def __init__(
        self, projections: Callable[[nn.Module], Iterable[nn.Linear]] = find_projections, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.projections = projections

    def match(self, event: Event, state: State) -> bool:
        return event == Event.INIT or super().match(event, state)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.INIT:
            add_spectral_norm(self.projections(state.model))
        else:
            super().apply(event, state, logger)
