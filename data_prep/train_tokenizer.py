"""``python -m data_prep.train_tokenizer``: a small RoBERTa-style tokenizer from a source's own text.

Makes the whole path runnable offline; to pre-finetune a published model, use that model's tokenizer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

from tokenizers import Tokenizer, decoders, pre_tokenizers, processors, trainers
from tokenizers.models import BPE
from transformers.models.roberta.tokenization_roberta_fast import RobertaTokenizerFast

from data_prep.__main__ import Parser, comma_list, fail, positive, select_tasks
from data_prep.adapters import get_adapter
from data_prep.examples import (
    ChoiceExample,
    ClassificationExample,
    Example,
    RegressionExample,
    SpanExample,
    TaggingExample,
    TextExample,
    Unusable,
)
from data_prep.sources import Source, parse_source
from recipe.errors import UserError
from recipe.tasks import get_task

DESCRIPTION = "Train a byte-level BPE tokenizer on a source's own text and save it as a RoBERTa tokenizer."
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")  # RoBERTa's; their ids are their positions
MODEL_MAX_LENGTH = 512


def texts(source: Source, tasks: Sequence[str]) -> Iterator[str]:
    """All text of the tasks' training examples."""
    for key in tasks:
        adapter = get_adapter(key)
        for rows in source.read(key, get_task(key).train_split, adapter.columns):
            for row in rows:
                try:
                    yield from _fields(adapter.convert(row))
                except Unusable:
                    continue


def train(corpus: Iterator[str], vocab_size: int) -> RobertaTokenizerFast:
    """Byte-level BPE with RoBERTa's special tokens and template. The same corpus gives the same tokenizer."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    options: dict[str, Any] = {
        "vocab_size": vocab_size,
        "special_tokens": list(SPECIAL),
        "initial_alphabet": pre_tokenizers.ByteLevel.alphabet(),
        "show_progress": False,
    }
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(**options))
    tokenizer.post_processor = processors.RobertaProcessing(  # type: ignore[assignment]
        sep=("</s>", SPECIAL.index("</s>")), cls=("<s>", SPECIAL.index("<s>")), add_prefix_space=False
    )
    return RobertaTokenizerFast(tokenizer_object=tokenizer, model_max_length=MODEL_MAX_LENGTH)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser("python -m data_prep.train_tokenizer", DESCRIPTION)
    parser.add_argument("folder", help="where to save it")
    parser.add_argument("--source", required=True, help="miniature, local:<folder> or hub")
    parser.add_argument("--vocab-size", type=positive, default=2000, help="default: %(default)s")
    parser.add_argument("--tasks", type=comma_list, help="whose text to use (default: all that the source has)")
    options = parser.parse_args(arguments)
    least = len(SPECIAL) + len(pre_tokenizers.ByteLevel.alphabet())
    if options.vocab_size < least:
        parser.error(f"--vocab-size {options.vocab_size}: the bytes and special tokens alone are {least}")
    try:
        source = parse_source(options.source)
        tokenizer = train(texts(source, select_tasks(source, options.tasks)), options.vocab_size)
        tokenizer.save_pretrained(options.folder)
    except UserError as error:
        return fail(error)
    except OSError as error:
        return fail(OSError(f"{options.folder}: cannot be written: {error.strerror}"))
    print(f"{options.folder}: {len(tokenizer):,} tokens")
    return 0


def _fields(example: Example) -> tuple[str, ...]:
    if isinstance(example, ClassificationExample | RegressionExample):
        return (example.text, example.second_text or "")
    if isinstance(example, ChoiceExample):
        return (example.context, *example.choices)
    if isinstance(example, SpanExample):
        return (example.question, example.context)
    if isinstance(example, TextExample):
        return (example.text,)
    if isinstance(example, TaggingExample):
        return (" ".join(example.words),)
    return (example.document, example.summary)


if __name__ == "__main__":
    sys.exit(main())
