"""Dynamic masking for masked language modelling (BERT, arXiv 1810.04805, section 3.1). L tokens of a row."""

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
    tokens: Tokens, special: NDArray[np.bool_], mask: int, vocabulary: int, rng: np.random.Generator
) -> tuple[Tokens, Tokens]:
    """Chooses 15 % of the tokens, one at least: 80 % of them become the mask, 10 % any token, 10 % stay.

    Args:
        tokens: (L,) ids.
        special: (L,) which of them are special tokens, never chosen.
        mask: Id of the mask.
        vocabulary: Number of ids that a token may become.
        rng: Draws.

    Returns:
        The row to read (L,) and what its chosen tokens were (L,), IGNORE at all others.
    """
    maskable = np.flatnonzero(~special)
    # As many as chance rounds to: 15 % in the mean of short rows, too.
    count = min(len(maskable), max(1, int(len(maskable) * SHARE + rng.random())))
    chosen = rng.permutation(maskable)[:count]
    fate = rng.random(count)
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
    """

    mask: int
    special: tuple[int, ...]
    vocabulary: int
    seed: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerFast, seed: int) -> Masking:
        """Raises :class:`UserError` for a tokenizer without a mask."""
        if tokenizer.mask_token_id is None:
            raise UserError(
                f"tokenizer {tokenizer.name_or_path!r} has no mask token: leave out the tasks tapt_..., or use another"
            )
        assert isinstance(tokenizer.mask_token_id, int)
        return cls(tokenizer.mask_token_id, tuple(tokenizer.all_special_ids), len(tokenizer), seed)

    def __call__(self, tokens: Tokens, moment: tuple[int, ...], example: int) -> tuple[Tokens, Tokens]:
        """Row and originals, as :func:`mask_tokens` gives them.

        Args:
            tokens: (L,)
            moment: Epoch and step, nothing in evaluation.
            example: Its number in the store.
        """
        rng = np.random.default_rng((self.seed, example, *moment))
        return mask_tokens(tokens, np.isin(tokens, self.special), self.mask, self.vocabulary, rng)
