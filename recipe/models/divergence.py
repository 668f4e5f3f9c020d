"""How far a prediction moves under noise: R3F's symmetric KL, one number per example, by family (arXiv 2008.03156)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from recipe.algorithms.r3f import symmetric_kl
from recipe.models.losses import count, mean_by_example, mean_over_masked, mean_over_targets
from recipe.tasks import Family


def segment_divergence(
    prediction: Mapping[str, Tensor], noised_prediction: Mapping[str, Tensor], segment: Mapping[str, Any]
) -> Tensor:
    """KL(p || q) + KL(q || p) per example (b,), in fp32, with gradients through both predictions.

    Over classes, or an example's choices; for reading comprehension the mean of the first and the last token's, over
    the valid positions, averaged over the example's windows; for generation and masked language modelling the mean over
    target tokens (the authors' sum over all positions would count padding and grow with length); for tagging the mean
    over words. For regression (p - q)^2, the symmetric KL of two normal distributions of variance 1 around the scores
    (also what SMART has, arXiv 1911.03437; R3F's authors leave regression without a term).
    """
    family = Family(segment["family"])
    if family is Family.MRC:
        start, end = (symmetric_kl(prediction[side], noised_prediction[side]) for side in ("start", "end"))
        return mean_by_example((start + end) / 2, segment["row_example"], count(segment))
    if family is Family.REGRESSION:
        return (prediction["score"].float() - noised_prediction["score"].float()).square()
    divergence = symmetric_kl(prediction["logits"], noised_prediction["logits"])
    if "target_ids" in segment:
        return mean_over_targets(divergence, segment["target_ids"])
    if family is Family.MASKED_LM:
        return mean_over_masked(divergence, segment["originals"])
    if family is Family.TAGGING:
        return mean_by_example(divergence, segment["words"][:, 0], count(segment))
    return divergence
