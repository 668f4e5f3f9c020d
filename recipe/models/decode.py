"""From span scores to an answer's text. L is the number of tokens of a window's row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MAX_ANSWER_TOKENS = 30  # BERT's SQuAD script


def best_span(
    start: np.ndarray, end: np.ndarray, context: tuple[int, int], max_tokens: int = MAX_ANSWER_TOKENS
) -> tuple[float, int, int]:
    """The span of a window's context with the highest start + end score.

    Args:
        start: (L,) scores of first tokens.
        end: (L,) scores of last tokens.
        context: [first, stop) of the context's tokens.
        max_tokens: Longest answer.

    Returns:
        Its score, first and last token, last included; (-inf, 0, 0) where the window has no context.
    """
    low, stop = int(context[0]), int(context[1])
    if stop <= low:
        return -np.inf, 0, 0
    scores = start[low:stop, None].astype(np.float64) + end[None, low:stop]
    ordered = np.triu(np.ones(scores.shape, dtype=bool)) & np.tril(np.ones(scores.shape, dtype=bool), max_tokens - 1)
    scores = np.where(ordered, scores, -np.inf)
    first, last = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(scores[first, last]), low + int(first), low + int(last)


def best_answer(
    starts: Sequence[np.ndarray],
    ends: Sequence[np.ndarray],
    contexts: Sequence[tuple[int, int]],
    offsets: Sequence[np.ndarray],
    text: str,
    may_be_none: bool,
    max_tokens: int = MAX_ANSWER_TOKENS,
) -> str:
    """An example's answer: the best span over its windows, or nothing where every window prefers "no answer".

    "No answer" is the first token as first and last; its score for the example is the lowest of its windows' (the
    SQuAD 2.0 script of BERT), because most windows of a long context rightly hold no answer. As there, it is no
    candidate where every question has an answer: windows without one have taught it to the model all the same.

    Args:
        starts: One (L,) a window.
        ends: One (L,) a window.
        contexts: One [first, stop) a window.
        offsets: One (L, 2) a window: each token's characters in ``text``.
        text: The context.
        may_be_none: Whether "no answer" is a candidate (:attr:`recipe.tasks.task.Task.has_unanswerable`).
        max_tokens: Longest answer.

    Returns:
        The answer's characters, ``""`` for no answer.
    """
    spans = [best_span(s, e, c, max_tokens) for s, e, c in zip(starts, ends, contexts, strict=True)]
    window = max(range(len(spans)), key=lambda index: spans[index][0])
    score, first, last = spans[window]
    no_answer = min(float(s[0]) + float(e[0]) for s, e in zip(starts, ends, strict=True))
    if may_be_none and no_answer > score:
        return ""
    return text[int(offsets[window][first][0]) : int(offsets[window][last][1])]
