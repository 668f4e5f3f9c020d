"""META-TARTAN: functional form and Composer algorithm. T tasks, K microbatches of a rank in a step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import torch
from composer.core import Event, Precision, State
from composer.loggers import Logger
from composer.utils import dist
from torch import Tensor, nn

from recipe.algorithms.tartan.development import DevelopmentGradient
from recipe.algorithms.tartan.gradients import BodyGradients, dot
from recipe.algorithms.tartan.mt import MTTartan
from recipe.data.microbatch import example_tasks
from recipe.errors import UserError

Similarity = Literal["cosine", "dot"]


def similarities(products: Tensor, squares: Tensor, development_square: Tensor, similarity: Similarity) -> Tensor:
    """How much gradients point where the development gradient does.

    Args:
        products: (...) their scalar products with it.
        squares: (...) their squared norms.
        development_square: () its squared norm.
        similarity: ``"cosine"`` (the authors' code; 0 where a gradient is zero) or ``"dot"`` (the paper).

    Returns:
        (...)
    """
    if similarity == "dot":
        return products
    norms = (squares * development_square).sqrt()
    return torch.where(norms > 0, products / norms, 0.0)


class MetaTartan(MTTartan):
    """Learns the tasks' weights online, from the end task's development gradient (arXiv 2109.07437, section 4.2).

    Each step g_dev is computed once (:class:`DevelopmentGradient`). Then, as microbatches come, the gradient of each of
    their tasks' mean losses with respect to the shared body is compared with g_dev and dropped: one development
    gradient and one task's are in memory, however many tasks there are. After the step::

        w_t <- w_t + lr x similarity(g_dev, g_t),   weights = softmax(w)

    g_t is of the loss before weights, dropout as in training, without R3F's term. The similarity is the mean over the
    step's parts of the task, weighted by their examples; a part is a microbatch of a rank, under FSDP2 the k-th
    microbatches of all ranks. So cosines depend a little on how a step is cut, scalar products not at all. A task that
    a step lacks keeps its w. One small all-reduce a step. A step costs one more backward for each task in a microbatch.

    Args:
        tasks: Keys of the end task and its auxiliaries, in the weights' order.
        losses: Of ``(outputs, batch)``, the loss of each example (B,) before anything weighs it.
        development: The development gradient.
        body: Of the model, the parameters that all tasks share.
        lr: Of w. Default: ``1e-2`` (the authors').
        similarity: ``"cosine"`` or ``"dot"``. Default: ``"cosine"``.
        interval_batches: Steps between two records of the weights.

    Raises:
        UserError: At the start of training, fp16: unscaled gradients would round to zero.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        losses: Callable[[Any, Any], Tensor],
        development: DevelopmentGradient,
        body: Callable[[], Iterable[nn.Parameter]],
        lr: float = 1e-2,
        similarity: Similarity = "cosine",
        interval_batches: int = 10,
    ) -> None:
        super().__init__(tasks, interval_batches)
        self.losses = losses
        self.development = development
        self.body = body
        self.lr = lr
        self.similarity: Similarity = similarity
        self._raw = self.weights.clone()  # (T,) w: equal weights at first
        self._gradients: BodyGradients | None = None
        self._development_gradient: list[Tensor | None] = []
        self._products = torch.zeros(0)  # (K, T, 2): scalar product with g_dev and squared norm, of this rank's part
        self._microbatch = 0

    def match(self, event: Event, state: State) -> bool:
        return event in (Event.FIT_START, Event.AFTER_TRAIN_BATCH) or super().match(event, state)

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        if event == Event.FIT_START:
            self._prepare(state)
        elif event == Event.AFTER_TRAIN_BATCH:
            self._update()
        else:
            super().apply(event, state, logger)
            if event == Event.BEFORE_TRAIN_BATCH:
                self._start(state)
            elif event == Event.AFTER_LOSS:
                self._compare(state)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "raw": self._named(self._raw)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._raw = self._values(state["raw"])

    def _prepare(self, state: State) -> None:
        if state.precision is Precision.AMP_FP16:
            raise UserError(
                "META-TARTAN compares unscaled gradients, too small for fp16: use precision=amp_bf16 or fp32"
            )
        # Now, for between a forward and its backward FSDP2 shows other parameters.
        self._gradients = BodyGradients(self.body(), state.model.parameters())
        self.development.prepare()

    def _start(self, state: State) -> None:
        assert self._gradients is not None
        self._development_gradient = self.development.compute(state, self._gradients)
        self._products = state.device.tensor_to_device(torch.zeros(*self.examples.shape, 2))
        self._microbatch = 0

    @property
    def _parts(self) -> Tensor:
        """(K, T) examples of the parts that are compared."""
        assert self._gradients is not None
        return self.examples if self._gradients.sharded else self.own_examples

    def _compare(self, state: State) -> None:
        """Compare each task's gradient in this microbatch; sharded, in all ranks', so that each runs as many."""
        gradients, parts = self._gradients, self._parts[self._microbatch]
        assert gradients is not None
        losses, tasks = self.losses(state.outputs, state.batch), example_tasks(state.batch, self._index)
        for task in parts.nonzero().flatten().tolist():
            # Masked, not picked: other tasks' heads get zeros as gradients on every rank, as FSDP2 needs.
            mean = (losses * (tasks == task)).sum() / int(parts[task])
            self._products[self._microbatch, task] = self._products_of(mean * gradients.ranks_in_mean)
        self._microbatch += 1

    def _products_of(self, loss: Tensor) -> Tensor:
        """(2,) scalar product with g_dev and squared norm of the loss's gradient, which is gone afterwards."""
        assert self._gradients is not None
        gradient = self._gradients.of(loss, keep_graph=True)
        return torch.stack([dot(gradient, self._development_gradient), dot(gradient, gradient)])

    def _update(self) -> None:
        """Move w by this step's similarities and drop the development gradient."""
        assert self._gradients is not None
        development_square = dot(self._development_gradient, self._development_gradient)
        table = torch.cat([self._products.flatten(), development_square.to(self._products).view(1)])
        self._gradients.sum_shards(table)
        products, squares = table[:-1].view_as(self._products).double().unbind(dim=-1)
        similar = similarities(products, squares, table[-1].double(), self.similarity)
        sums = (similar * self._parts.to(similar)).sum(dim=0)
        if not self._gradients.sharded:
            dist.all_reduce(sums)
        self._raw = self._raw + self.lr * sums.cpu() / self.examples.sum(dim=0).clamp(min=1)
        self.weights = torch.softmax(self._raw, dim=0)
        self._development_gradient = []
