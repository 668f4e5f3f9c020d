"""Dynamic masking for masked language modelling (BERT, arXiv 1810.04805, section 3.1). L tokens of a row.

Of single tokens or, as BERT's authors added later, of whole words, whose rest does not give a hidden part away.
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
    word_of = np.arange(len(maskable)) if words is None else np.unique(words[maskable], return_inverse=True)[1]
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


@dataclass(frozen=True)
class Masking:
    """Masks the rows of a run: what a row becomes depends on the run's seed, the step and the example alone.

    Attributes:
        mask: Id of the tokenizer's mask.
        special: Ids of its special tokens.
        vocabulary: Number of its ids.
        seed: Of the run.
        starts: (V,) which ids begin a word, to mask whole words.
    """

    mask: int
    special: tuple[int, ...]
    vocabulary: int
    seed: int
    starts: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, seed: int, whole_words: bool = False) -> Masking:
        """Raises :class:`UserError` for a tokenizer without a mask, or for whole words where it does not mark them."""
        if tokenizer.mask_token_id is None:
            raise UserError(
                f"tokenizer {tokenizer.name_or_path!r} has no mask token: leave out the tasks tapt_..., or use another"
            )
        assert isinstance(tokenizer.mask_token_id, int)
        starts = word_starts(tokenizer) if whole_words else None
        return cls(tokenizer.mask_token_id, tuple(tokenizer.all_special_ids), len(tokenizer), seed, starts)

    def __call__(self, tokens: Tokens, moment: tuple[int, ...], example: int) -> tuple[Tokens, Tokens]:
        """Row and originals, as :func:`mask_tokens` gives them.

        Args:
            tokens: (L,)
            moment: Epoch and step, nothing in evaluation.
            example: Its number in the store.
        """
        rng = np.random.default_rng((self.seed, example, *moment))
        words = None if self.starts is None else self.starts[tokens].cumsum()
        return mask_tokens(tokens, np.isin(tokens, self.special), self.mask, self.vocabulary, rng, words)


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
