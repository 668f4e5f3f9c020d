"""What every adapter makes of its dataset, for a reader's eye: ``python -m tests.data_prep.golden_files`` rewrites it.

Rows of the miniature go through adapter and tokenizer and are decoded back from the columns that a store would hold, so
the files show what a model reads and what it should answer. They do not depend on the tokenizer's vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep import train_tokenizer
from data_prep.adapters import ADAPTERS
from data_prep.encode import EncodedExample, Limits, encode
from data_prep.examples import ClassificationExample, Example, Unusable
from data_prep.label_space import label_space
from data_prep.sources import parse_source
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import CATALOGUE, Family, Task

FOLDER = Path(__file__).parent / "golden"
COMMAND = "python -m tests.data_prep.golden_files"
LIMITS = Limits()
SHOWN = {"train": 3, "validation": 1}  # examples of each task; classification shows one of each class
FAMILIES = [family for family in Family if family is not Family.MASKED_LM]  # which reads the others' texts
LONG = 1000  # characters of an example that is hard to read
SOURCE = "miniature"

INTRODUCTION = f"""\
<!-- Written by {COMMAND}; a test compares. -->
# {{family}}: what the model reads, and what it should answer

Made-up rows in each dataset's own schema, encoded as the store has them and decoded again. `→` is the target; in a row,
`[[ ]]` is around the answer, and under a sentence stands each word with its label.
"""


def golden(family: Family, tokenizer: PreTrainedTokenizerFast) -> str:
    """The file of one family."""
    parts = [INTRODUCTION.format(family=family.value)]
    parts += ["\n".join(_task(CATALOGUE[key], tokenizer)) for key in ADAPTERS if CATALOGUE[key].family is family]
    return "\n".join(parts)


def _task(task: Task, tokenizer: PreTrainedTokenizerFast) -> Iterator[str]:
    source, adapter = parse_source(SOURCE), ADAPTERS[task.key]
    labels = label_space(source, task)
    yield f"## {task.key}\n"
    if task.labels:
        yield f"labels: {', '.join(f'{number} {name}' for number, name in enumerate(task.labels))}\n"
    dropped: Counter[str] = Counter()
    for split, name in (("train", task.train_split), ("validation", task.evaluation_splits[0])):
        examples: list[Example] = []
        for rows in source.read(task.key, name, adapter.columns):
            for row in rows:
                try:
                    examples.append(adapter.convert(row))
                except Unusable as reason:
                    dropped[str(reason)] += 1
        for outcome in encode(_choose(examples, SHOWN[split]), task.family, tokenizer, LIMITS, split, labels):
            assert isinstance(outcome, EncodedExample), outcome
            yield f"**{split}** (from `{name}`)\n"
            yield "```text"
            yield from _example(task, outcome.columns, tokenizer, labels)
            if "reference" in outcome.columns:
                yield f"reference: {outcome.columns['reference']}"
            yield "```\n"
    for reason, count in sorted(dropped.items()):
        yield f"not usable: {count} \u00d7 {reason}  "
    yield ""


def _choose(examples: list[Example], count: int) -> list[Example]:
    short = [example for example in examples if len(str(example)) <= LONG]
    if count > 1 and isinstance(short[0], ClassificationExample):
        first = {example.label: example for example in reversed(short) if isinstance(example, ClassificationExample)}
        return [first[label] for label in sorted(label for label in first if label is not None)]
    return short[:count]


def _example(
    task: Task, columns: dict[str, Any], tokenizer: PreTrainedTokenizerFast, labels: tuple[str, ...]
) -> Iterator[str]:
    rows = np.split(columns["tokens"], np.cumsum(columns["row_lengths"])[:-1])
    for index, (row, second) in enumerate(zip(rows, columns["second"], strict=True)):
        marks: dict[int, str] = {}
        if task.family is Family.MRC and columns["spans"][index].any():
            first, last = columns["spans"][index]
            marks = {int(first): "[[", int(last) + 1: "]]"}
        if second < len(row):
            marks[int(second)] = marks.get(int(second), "") + "\n    "
        yield _line(row, marks, tokenizer)
        if task.family is Family.COMMONSENSE and index == columns["label"]:
            yield "  → this choice"
        if task.family is Family.MRC:
            yield "  → the answer in brackets" if marks.keys() - {int(second)} else "  → no answer"
    yield from _target(task, columns, tokenizer, rows[0], labels)


def _target(
    task: Task, columns: dict[str, Any], tokenizer: PreTrainedTokenizerFast, row: Any, labels: tuple[str, ...]
) -> Iterator[str]:
    if task.family is Family.CLASSIFICATION:
        yield f"  → {columns['label']} {task.labels[columns['label']]}"
    if task.family is Family.REGRESSION:
        yield f"  → {columns['score']:g}"
    if task.family is Family.SUMMARIZATION:
        yield f"  → {_line(columns['target'], {}, tokenizer)}"
    if task.family is Family.TAGGING:
        names = [labels[number] if number >= 0 else "(unknown)" for number in columns["labels"]]
        parts = np.split(row[:-1], columns["words"])[1:]  # each word's first token up to the next one's
        words = [tokenizer.decode(part).strip() for part in parts]
        yield "  → " + "  ".join(f"{word}/{name}" for word, name in zip(words, names, strict=True))


def _line(row: Any, marks: dict[int, str], tokenizer: PreTrainedTokenizerFast) -> str:
    """The row as text, with the marks in front of their tokens; a token's leading space stays outside of brackets."""
    cuts = [0, *sorted(marks), len(row)]
    line = ""
    for start, stop in pairwise(cuts):
        text, mark = tokenizer.decode(row[start:stop]), marks.get(start, "")
        space = " " if mark == "[[" and text.startswith(" ") else ""
        line += space + mark + text.removeprefix(space)
    return line


def main() -> None:
    with TemporaryDirectory() as folder:
        assert train_tokenizer.main([folder, "--source", SOURCE, "--vocab-size", "1000"]) == 0
        tokenizer = load_tokenizer(folder)
    FOLDER.mkdir(exist_ok=True)
    for family in FAMILIES:
        (FOLDER / f"{family.value}.md").write_text(golden(family, tokenizer), encoding="utf-8")
        print(FOLDER / f"{family.value}.md")


if __name__ == "__main__":
    main()
