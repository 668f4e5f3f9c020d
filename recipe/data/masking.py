"""Dynamic masking, of tokens (BERT, arXiv 1810.04805, section 3.1) or spans (BART, arXiv 1910.13461, section 2.2).

Of single tokens or, as BERT's authors added later, of whole words, whose rest does not give a hidden part away. L
tokens of a row.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.data.microbatch import IGNORE
from recipe.errors import UserError

SHARE = 0.15  # of the tokens are predicted
_MASKED, _REPLACED = 0.8, 0.1  # of them; the others stay as they are
INFILLED = 0.3  # of the tokens an encoder-decoder does not see
MEAN_SPAN = 3  # of them behind one mask

Tokens = NDArray[np.int64]


def mask_tokens(
    tokens: Tokens,
    special: NDArray[np.bool_],
    mask: int,
    vocabulary: int,
    rng: np.random.Generator,
    words: NDArray[np.int64] | None = None,
) -> tuple[Tokens, Tokens]:
    """Chooses 15 % of the tokens, one at least: 80 % of them become the mask, 10 % any token, 10 % stay.

    Args:
        tokens: (L,) ids.
        special: (L,) which of them are special tokens, never chosen.
        mask: Id of the mask.
        vocabulary: Number of ids that a token may become.
        rng: Draws.
        words: (L,) number of the word that each token belongs to; words are chosen as a whole. Default: single tokens.

    Returns:
        The row to read (L,) and what its chosen tokens were (L,), IGNORE at all others.
    """
    maskable = np.flatnonzero(~special)
    word_of = _number_words(maskable, words)
    lengths = np.bincount(word_of)
    order = rng.permutation(len(lengths))
    # The word in which the share ends is taken or left by chance: 15 % in the mean of short rows, too.
    last = len(maskable) * SHARE + rng.random() * lengths[order]
    taken = order[: max(1, int((lengths[order].cumsum() <= last).sum()))]
    chosen = maskable[np.isin(word_of, taken)]
    fate = rng.random(len(chosen))
    read, originals = tokens.copy(), np.full_like(tokens, IGNORE)
    originals[chosen] = tokens[chosen]
    read[chosen[fate < _MASKED]] = mask
    replaced = chosen[(fate >= _MASKED) & (fate < _MASKED + _REPLACED)]
    read[replaced] = rng.integers(vocabulary, size=len(replaced))
    return read, originals


def infill_tokens(
    tokens: Tokens,
    special: NDArray[np.bool_],
    mask: int,
    rng: np.random.Generator,
    words: NDArray[np.int64] | None = None,
) -> tuple[Tokens, Tokens]:
    """Text infilling: hides 30 % of the tokens, one at least, in spans of Poisson(3) tokens, each behind one mask.

    Spans do not overlap, and special tokens divide one that they interrupt. A span of length 0 is a mask more; such are
    left out where the row would get longer than it was.

    Args:
        tokens: (L,) ids.
        special: (L,) which of them are special tokens, never hidden.
        mask: Id of the mask.
        rng: Draws.
        words: (L,) number of the word that each token belongs to, rising; share and lengths are then of words, hidden
            as a whole. Default: single tokens.

    Returns:
        The row to read (at most L,) and what the hidden tokens of the given one were (L,), IGNORE at all others.
    """
    maskable = np.flatnonzero(~special)
    if not len(maskable):
        return tokens, np.full_like(tokens, IGNORE)
    word_of = _number_words(maskable, words)
    first_tokens = maskable[np.flatnonzero(np.diff(word_of, prepend=-1))]
    span_of_word, empty = _place_spans(_draw_lengths(len(first_tokens), rng), len(first_tokens), rng)
    span_of = np.full(len(tokens), -1)
    span_of[maskable] = span_of_word[word_of]
    hidden = span_of >= 0
    masked = hidden & (np.diff(span_of, prepend=-1) != 0)
    left_out = hidden & ~masked
    inserted = rng.permutation(np.append(first_tokens, maskable[-1] + 1)[empty])[: left_out.sum()]
    read = np.insert(np.where(masked, mask, tokens), inserted, mask)
    return read[np.insert(~left_out, inserted, True)], np.where(hidden, tokens, IGNORE)


def _draw_lengths(words: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """(S,) words in each span; they add up to the share, for which one is cut to fit, as in the authors' code."""
    total = max(1, int(words * INFILLED + rng.random()))
    ends = np.minimum(rng.poisson(MEAN_SPAN, total + 8).cumsum(), total)  # more draws than are needed
    lengths = np.diff(ends, prepend=0)[: np.searchsorted(ends, total) + 1]
    return rng.permutation(lengths)


def _place_spans(
    lengths: NDArray[np.int64], words: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Puts S spans anywhere: (words,) the number of the span that hides each word, -1 for none, and the words (of 0 to
    ``words``) that an empty span stands before."""
    spans, hidden = len(lengths), int(lengths.sum())
    # Spans and the words that stay, in any order: so many of these come before each span.
    before = np.sort(rng.choice(words - hidden + spans, spans, replace=False)) - np.arange(spans)
    span_of = np.full(words, -1)
    span_of[np.arange(hidden) + np.repeat(before, lengths)] = np.repeat(np.arange(spans), lengths)
    return span_of, (before + lengths.cumsum() - lengths)[lengths == 0]


def _number_words(maskable: NDArray[np.int64], words: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """(m,) which word, counted from 0 without gaps, each of the (m,) maskable places belongs to."""
    return np.arange(len(maskable)) if words is None else np.unique(words[maskable], return_inverse=True)[1]


@dataclass(frozen=True)
class Masking:
    """Masks the rows of a run: what a row becomes depends on the run's seed, the step and the example alone.

    Attributes:
        mask: Id of the tokenizer's mask.
        special: Ids of its special tokens.
        vocabulary: Number of its ids.
        seed: Of the run.
        starts: (V,) which ids begin a word, to mask whole words.
        infills: Whether spans are hidden, for a decoder to write the whole row, instead of tokens.
    """

    mask: int
    special: tuple[int, ...]
    vocabulary: int
    seed: int
    starts: NDArray[np.bool_] | None = None
    infills: bool = False

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerFast, seed: int, whole_words: bool = False, infills: bool = False
    ) -> Masking:
        """Raises :class:`UserError` for a tokenizer without a mask, or for whole words where it does not mark them."""
        if tokenizer.mask_token_id is None:
            raise UserError(
                f"tokenizer {tokenizer.name_or_path!r} has no mask token: leave out the tasks tapt_..., or use another"
            )
        assert isinstance(tokenizer.mask_token_id, int)
        starts = word_starts(tokenizer) if whole_words else None
        return cls(tokenizer.mask_token_id, tuple(tokenizer.all_special_ids), len(tokenizer), seed, starts, infills)

    def __call__(self, tokens: Tokens, moment: tuple[int, ...], example: int) -> tuple[Tokens, Tokens]:
        """Row and originals, as :func:`mask_tokens` or :func:`infill_tokens` gives them.

        Args:
            tokens: (L,)
            moment: Epoch and step, nothing in evaluation.
            example: Its number in the store.
        """
        rng = np.random.default_rng((self.seed, example, *moment))
        words = None if self.starts is None else self.starts[tokens].cumsum()
        special = np.isin(tokens, self.special)
        if self.infills:
            return infill_tokens(tokens, special, self.mask, rng, words)
        return mask_tokens(tokens, special, self.mask, self.vocabulary, rng, words)


def word_starts(tokenizer: PreTrainedTokenizerFast) -> NDArray[np.bool_]:
    """(V,) which ids begin a word: those without WordPiece's ##, or with the sign for a space before; all special ones.

    Raises:
        UserError: The tokenizer marks neither.
    """
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    marks = {mark: np.array([token.startswith(mark) for token in tokens]) for mark in ("##", "Ġ", "▁")}
    mark = max(marks, key=lambda mark: marks[mark].sum())
    if not marks[mark].any():
        raise UserError(
            f"tokenizer {tokenizer.name_or_path!r} does not mark where words begin: leave out data.mask_whole_words"
        )
    starts = ~marks[mark] if mark == "##" else marks[mark]
    starts[tokenizer.all_special_ids] = True  # the first word after one may lack its space
    return starts
