"""Multiple choice: a row for each choice, of which only the context is shortened."""

from __future__ import annotations

from collections.abc import Sequence

from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode.limits import Limits
from data_prep.encode.rows import Outcome, join, numbered, tokenize
from data_prep.examples import ChoiceExample
from recipe.data.manifest import WITHHELD

LONG_CHOICE = "choice longer than the maximum length"


def encode_choices(
    examples: Sequence[ChoiceExample], tokenizer: PreTrainedTokenizerFast, limits: Limits, evaluation: bool
) -> list[Outcome]:
    choices = [choice for example in examples for choice in example.choices]
    sizes = iter([len(row.ids) for row in tokenize(tokenizer, choices, special_tokens=False)])
    longest = [max(next(sizes) for _ in example.choices) for example in examples]
    # One token of the context must be left: the tokenizer refuses to cut a text away altogether.
    room = limits.max_length - tokenizer.num_special_tokens_to_add(pair=True) - 1
    fitting = [example for example, size in zip(examples, longest, strict=True) if size <= room]
    texts = [
        (example.context, choice) if example.context.strip() else choice
        for example in fitting
        for choice in example.choices
    ]
    rows = iter(tokenize(tokenizer, texts, "only_first", limits.max_length))
    return [
        join(
            [next(rows) for _ in example.choices],
            {"label": WITHHELD if example.label is None else example.label},
            numbered({}, example.index) if evaluation else None,
        )
        if size <= room
        else LONG_CHOICE
        for example, size in zip(examples, longest, strict=True)
    ]
