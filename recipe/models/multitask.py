"""The one ComposerModel: a network, its losses per example, and its predictions for the metrics. B examples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict

import torch
from composer.models import ComposerModel
from composer.utils import dist
from torch import Tensor
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, register_fsdp_forward_method
from torchmetrics import Metric
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.data.manifest import WITHHELD
from recipe.data.microbatch import IGNORE, Microbatch
from recipe.models.decode import best_answer
from recipe.models.divergence import segment_divergence
from recipe.models.losses import count, segment_log_outcomes, segment_loss
from recipe.models.network import MultitaskNetwork, Outputs
from recipe.tasks import Family, get_task


class Predictions(TypedDict):
    """A segment's examples as its metrics take them."""

    task: str
    predictions: list[Any]  # b of them, of the types that recipe.tasks.metrics lists
    references: list[Any]  # b of them, likewise


class MultitaskModel(ComposerModel):
    """Losses are vectors, one number per example in the microbatch's order: Composer's mean over them, weighted by the
    microbatch's examples, makes a step the mean over its datapoints whatever the microbatching or number of ranks.

    Attributes:
        last_raw_loss: The last :meth:`loss`, unweighted and detached (B,), for callbacks; None before the first.
        beam_search: Whether summaries are searched for as their tasks say; False is greedy, for use during training.

    Args:
        network: The only child module (Composer wraps each child by itself).
        tokenizer: Decodes generated summaries.
        tasks: Keys of the tasks to learn.
        label_smoothing: Of summarization's loss, in training only. Default: ``0.1`` (BART's).
        metrics: Per task, its evaluation metrics by name.

    Raises:
        ValueError: ``metrics`` names a task that is not learned.
    """

    def __init__(
        self,
        network: MultitaskNetwork,
        tokenizer: PreTrainedTokenizerFast,
        tasks: Sequence[str],
        label_smoothing: float = 0.1,
        metrics: Mapping[str, Mapping[str, Metric]] | None = None,
    ) -> None:
        super().__init__()
        strangers = sorted(set(metrics or {}) - set(tasks))
        if strangers:
            raise ValueError(f"metrics for tasks that are not learned: {', '.join(strangers)}")
        self.network = network
        self.tokenizer = tokenizer
        self.tasks = tuple(tasks)
        self.label_smoothing = label_smoothing
        self.last_raw_loss: Tensor | None = None
        self.beam_search = False
        # In a plain dictionary: as child modules Composer would wrap them.
        self._metrics = {f"{task}/{name}": m for task, named in (metrics or {}).items() for name, m in named.items()}

    def forward(self, batch: Microbatch) -> Outputs:
        return self.network(batch)

    def loss(self, outputs: Outputs, batch: Microbatch) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The loss of each example (B,), in nats, times its weight where the batch has weights."""
        loss = self.raw_losses(outputs, batch)
        self.last_raw_loss = loss.detach()
        return _weigh(loss, batch)

    def raw_losses(self, outputs: Outputs, batch: Microbatch) -> Tensor:
        """The loss of each example (B,), in nats, before any weight."""
        smoothing = self.label_smoothing if self.training else 0.0
        return _per_example(lambda output, segment: segment_loss(output, segment, smoothing), outputs, batch)

    def scaled_losses(self, outputs: Outputs, batch: Microbatch) -> Tensor:
        """The raw loss of each example by its log n (B,)."""
        return self.raw_losses(outputs, batch) / self.log_outcomes(outputs, batch)

    def log_outcomes(self, outputs: Outputs, batch: Microbatch) -> Tensor:
        """log n of each example (B,), what :class:`recipe.algorithms.log_n_scaling.LogNLossScaling` divides by."""
        return _per_example(segment_log_outcomes, outputs, batch)

    def log_variances(self, outputs: Outputs) -> Tensor:
        """(T,) of a network that learns them: what uncertainty weighting weighs by."""
        return outputs[0]["log_variances"]

    def divergence(self, outputs: Outputs, noised_outputs: Outputs, batch: Microbatch) -> Tensor:
        """Symmetric KL of each example (B,), weighted as its loss is: what :class:`recipe.algorithms.r3f.R3F` adds."""
        triples = zip(outputs, noised_outputs, batch["segments"], strict=True)
        divergence = torch.cat([segment_divergence(output, noised, segment) for output, noised, segment in triples])
        return _weigh(divergence, batch)

    def eval_forward(self, batch: Microbatch, outputs: Outputs | None = None) -> list[Predictions]:
        """Predictions and references of each segment."""
        if any(segment["family"] == Family.SUMMARIZATION.value for segment in _plain(batch)):
            return self._summarize(batch)
        predicted = self.forward(batch) if outputs is None else outputs
        return [self._predict(output, segment) for output, segment in zip(predicted, _plain(batch), strict=True)]

    def get_metrics(self, is_train: bool) -> dict[str, Metric]:
        """``<task>/<metric>`` for evaluation; none in training."""
        return {} if is_train else self._metrics

    def update_metric(self, batch: Microbatch, outputs: list[Predictions], metric: Metric) -> None:
        """Update a metric with the one task of an evaluation microbatch.

        Raises:
            ValueError: Several tasks: the metric is one task's.
        """
        _single_task(outputs)
        for segment in outputs:
            metric.update(segment["predictions"], segment["references"])

    def _predict(self, output: Mapping[str, Tensor], segment: Mapping[str, Any]) -> Predictions:
        task = get_task(segment["task"])
        if task.family is Family.MRC:
            return _answer(output, segment)
        if task.family is Family.TAGGING:
            return _tag(output, segment, self.network.labels[task.key])
        if task.family is Family.MASKED_LM:
            return _guess_tokens(output, segment)
        if task.family is Family.REGRESSION:
            least, most = task.score_range
            scores = (least + (most - least) * side.float() for side in (output["score"], segment["scores"]))
            predictions, told = (side.tolist() for side in scores)
            references = [None if math.isnan(score) else score for score in told]
            return Predictions(task=task.key, predictions=predictions, references=references)
        references = [None if label == WITHHELD else label for label in segment["labels"].tolist()]
        if task.grouped:
            groups = [reference["group"] for reference in segment["references"]]
            references = list(zip(references, groups, strict=True))
        return Predictions(task=task.key, predictions=output["logits"].argmax(dim=-1).tolist(), references=references)

    def _summarize(self, batch: Microbatch) -> list[Predictions]:
        sharded = isinstance(self.network, (FSDPModule, FullyShardedDataParallel))
        if isinstance(self.network, FSDPModule):
            register_fsdp_forward_method(self.network, "generate")
        segments = _plain(batch)
        search = get_task(_single_task(segments)).search
        search = search if self.beam_search else search.greedy
        generated = self.network.generate(batch, search, synced=sharded and dist.get_world_size() > 1)
        texts = self.tokenizer.batch_decode(generated, skip_special_tokens=True)
        return [
            Predictions(
                task=segment["task"],
                predictions=[text.strip() for text in texts[slice(*segment["rows"])]],
                references=[reference["summary"] for reference in segment["references"]],
            )
            for segment in segments
        ]


def _per_example(
    of_segment: Callable[[Mapping[str, Tensor], Mapping[str, Any]], Tensor], outputs: Outputs, batch: Microbatch
) -> Tensor:
    return torch.cat([of_segment(output, segment) for output, segment in zip(outputs, _plain(batch), strict=True)])


def _weigh(per_example: Tensor, batch: Microbatch) -> Tensor:
    return per_example * batch["weights"] if "weights" in batch else per_example


def _plain(batch: Microbatch) -> Sequence[Mapping[str, Any]]:
    """The segments, typed so that the keys of a family may be read."""
    return batch["segments"]


def _single_task(segments: Iterable[Mapping[str, Any]]) -> str:
    keys = {segment["task"] for segment in segments}
    if len(keys) > 1:
        raise ValueError("an evaluation microbatch holds several tasks: evaluate each by its own loader")
    return keys.pop()


def _tag(output: Mapping[str, Tensor], segment: Mapping[str, Any], labels: Sequence[str]) -> Predictions:
    """Every word's tag by name, and what they are compared with: tags, or the tree of a parsing task."""
    sizes = segment["words"][:, 0].bincount(minlength=count(segment)).tolist()
    predictions = [[labels[i] for i in tags.tolist()] for tags in output["logits"].argmax(dim=-1).split(sizes)]
    references = [reference["tree"] or reference["tags"] for reference in segment["references"]]
    return Predictions(task=segment["task"], predictions=predictions, references=references)


def _guess_tokens(output: Mapping[str, Tensor], segment: Mapping[str, Any]) -> Predictions:
    """Of each example the likeliest token at every masked place, and the one that was there.

    A decoder guesses having read what comes before, hidden or not.
    """
    chosen = segment["originals"] != IGNORE
    sizes = chosen.sum(dim=1).tolist()
    logits = output["logits"][chosen] if "target_ids" in segment else output["logits"]
    guessed, right = logits.argmax(dim=-1), segment["originals"][chosen]
    predictions, references = ([part.tolist() for part in side.split(sizes)] for side in (guessed, right))
    return Predictions(task=segment["task"], predictions=predictions, references=references)


def _answer(output: Mapping[str, Tensor], segment: Mapping[str, Any]) -> Predictions:
    starts, ends = (output[side].detach().float().cpu().numpy() for side in ("start", "end"))
    contexts, row_example = segment["context"].tolist(), segment["row_example"].tolist()
    answers = []
    for example, reference in enumerate(segment["references"]):
        windows = [row for row, owner in enumerate(row_example) if owner == example]
        answers.append(
            best_answer(
                starts=[starts[row] for row in windows],
                ends=[ends[row] for row in windows],
                contexts=[contexts[row] for row in windows],
                offsets=reference["offsets"],
                text=reference["context"],
                may_be_none=get_task(segment["task"]).has_unanswerable,
            )
        )
    references = [reference["answers"] for reference in segment["references"]]
    return Predictions(task=segment["task"], predictions=answers, references=references)
