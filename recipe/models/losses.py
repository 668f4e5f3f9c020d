"""One raw loss per example, and the logarithm of the number of outcomes it predicts over (MUPPET, section 3.1).

Everything is fp32 and in nats. A uniform prediction's loss equals its log outcomes, in every family: that is what
loss scaling rests on; regression alone has no outcomes to count. b examples, r rows, w words, C classes or choices, L
tokens of a row, T tokens of a target, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from recipe.data.microbatch import IGNORE
from recipe.models.heads import valid_positions
from recipe.tasks import Family


def classification_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy -log p(label) (b,) of logits (b, C) and labels (b,).

    Also the sentence ranking loss of multiple choice, -log softmax over an example's choices: choices that an example
    does not have hold the lowest finite value and count for nothing.
    """
    return F.cross_entropy(logits.float(), labels, reduction="none")


def classification_log_outcomes(logits: Tensor) -> Tensor:
    """log C (b,) of logits (b, ..., C); C is the vocabulary where the outcomes are tokens."""
    return torch.full((logits.shape[0],), math.log(logits.shape[-1]), device=logits.device)


def choice_log_outcomes(choices: Tensor) -> Tensor:
    """log of each example's number of choices (b,); a single choice, whose loss is 0, counts as two: no 0 / 0."""
    return choices.clamp(min=2).float().log()


def span_loss(start: Tensor, end: Tensor, spans: Tensor, row_example: Tensor, examples: int) -> Tensor:
    """Mean over an example's windows of (-log p(first token) - log p(last token)) / 2 (BERT, arXiv 1810.04805, 4.2).

    Args:
        start: (r, L) scores of first tokens, the lowest finite value at positions that cannot be an answer.
        end: (r, L) scores of last tokens, likewise.
        spans: (r, 2) first and last answer token, both 0 in a window without answer.
        row_example: (r,) which example a window belongs to.
        examples: b.

    Returns:
        (b,)
    """
    first = F.cross_entropy(start.float(), spans[:, 0], reduction="none")
    last = F.cross_entropy(end.float(), spans[:, 1], reduction="none")
    return mean_by_example((first + last) / 2, row_example, examples)


def span_log_outcomes(context: Tensor, length: int, row_example: Tensor, examples: int) -> Tensor:
    """Mean over an example's windows of log(valid positions) (b,).

    At least log 2: windows without any context token have the first token only, a loss of 0, and nothing to divide by.
    """
    positions = valid_positions(context, length).sum(dim=1)
    return mean_by_example(positions.float().log(), row_example, examples).clamp(min=math.log(2))


def tagging_loss(logits: Tensor, labels: Tensor, word_example: Tensor, examples: int) -> Tensor:
    """Mean over an example's words of the cross entropy -log p(label); words without a label count for nothing.

    Args:
        logits: (w, C).
        labels: (w,) IGNORE for a word whose label cannot be learned.
        word_example: (w,) which example a word belongs to.
        examples: b.

    Returns:
        (b,) 0 for an example without any label.
    """
    learned = labels != IGNORE
    per_word = classification_loss(logits[learned], labels[learned])
    return mean_by_example(per_word, word_example[learned], examples)


def regression_loss(scores: Tensor, right: Tensor) -> Tensor:
    """Squared error (b,) of scores (b,), which run from 0 to 1 as RoBERTa's authors scale STS-B's."""
    return (scores.float() - right).square()


def generation_loss(logits: Tensor, target_ids: Tensor, smoothing: float) -> Tensor:
    """Label-smoothed cross entropy, averaged over each example's target tokens.

    ``-(1 - smoothing) log p(target) - smoothing / V * sum of log p`` (arXiv 1512.00567, section 7): the smoothed target
    is a distribution over the V outcomes, so a uniform prediction has loss log V whatever the smoothing.

    Args:
        logits: (b, T, V).
        target_ids: (b, T), IGNORE where there is no target.
        smoothing: 0.1 in BART's training, 0 in evaluation.

    Returns:
        (b,)
    """
    per_token = F.cross_entropy(
        logits.float().transpose(1, 2), target_ids, ignore_index=IGNORE, label_smoothing=smoothing, reduction="none"
    )
    return mean_over_targets(per_token, target_ids)


def masked_lm_loss(logits: Tensor, originals: Tensor) -> Tensor:
    """Mean cross entropy over each example's masked tokens (b,), 0 for one without any.

    Args:
        logits: (m, V) of all masked tokens, row by row.
        originals: (b, T) what they were, IGNORE where nothing was masked.
    """
    chosen = originals != IGNORE
    return mean_over_masked(F.cross_entropy(logits.float(), originals[chosen], reduction="none"), originals)


def mean_over_masked(values: Tensor, originals: Tensor) -> Tensor:
    """Mean (b,) of the values (m,) of each example's masked tokens."""
    return mean_by_example(values, (originals != IGNORE).nonzero()[:, 0], len(originals))


def mean_by_example(values: Tensor, example: Tensor, examples: int) -> Tensor:
    """Mean (b,) of the values (n,) that belong to each example, its windows' or words'; 0 where it has none."""
    sums = values.new_zeros(examples).index_add(0, example, values)
    counts = values.new_zeros(examples).index_add(0, example, torch.ones_like(values))
    return sums / counts.clamp(min=1)


def mean_over_targets(values: Tensor, target_ids: Tensor) -> Tensor:
    """Mean (b,) of the values (b, T) at each example's target tokens; padding is left out."""
    is_target = target_ids != IGNORE
    return values.masked_fill(~is_target, 0).sum(dim=1) / is_target.sum(dim=1).clamp(min=1)


def segment_loss(prediction: Mapping[str, Tensor], segment: Mapping[str, Any], smoothing: float) -> Tensor:
    """The raw loss (b,) of a segment, by its family; ``smoothing`` is summarization's."""
    family = Family(segment["family"])
    if family is Family.MRC:
        return span_loss(
            prediction["start"], prediction["end"], segment["spans"], segment["row_example"], count(segment)
        )
    if "target_ids" in segment:
        smoothing = smoothing if family is Family.SUMMARIZATION else 0.0
        return generation_loss(prediction["logits"], segment["target_ids"], smoothing)
    if family is Family.MASKED_LM:
        return masked_lm_loss(prediction["logits"], segment["originals"])
    if family is Family.TAGGING:
        return tagging_loss(prediction["logits"], segment["labels"], segment["words"][:, 0], count(segment))
    if family is Family.REGRESSION:
        return regression_loss(prediction["score"], segment["scores"])
    return classification_loss(prediction["logits"], segment["labels"])


def segment_log_outcomes(prediction: Mapping[str, Tensor], segment: Mapping[str, Any]) -> Tensor:
    """The log outcomes (b,) of a segment, by its family; 1, which changes no loss, for regression."""
    family = Family(segment["family"])
    if family is Family.MRC:
        length = prediction["start"].shape[1]
        return span_log_outcomes(segment["context"], length, segment["row_example"], count(segment))
    if family is Family.COMMONSENSE:
        return choice_log_outcomes(segment["choices"])
    if family is Family.REGRESSION:
        return torch.ones_like(segment["scores"])
    if family in (Family.TAGGING, Family.MASKED_LM):  # logits of words or tokens, not of examples
        logits = prediction["logits"]
        return torch.full((count(segment),), math.log(logits.shape[-1]), device=logits.device)
    return classification_log_outcomes(prediction["logits"])


def count(segment: Mapping[str, Any]) -> int:
    """b, the number of a segment's examples."""
    start, stop = segment["examples"]
    return stop - start
