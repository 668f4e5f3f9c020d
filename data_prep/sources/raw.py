"""Readers of datasets whose original files are no Parquet files: rows in the columns of the Hub's version.

What the loading scripts did that the Hub no longer runs, as far as adapters need it.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.examples import InvalidData
from recipe.tasks import Task

Row = dict[str, Any]
Reader = Callable[[Task, str, Sequence[str]], Iterator[Row]]  # task, split, the split's files

_BATCH_ROWS = 1000


def read_rows(task: Task, split: str, reader: str, files: Sequence[str]) -> Iterator[Row]:
    """A split's rows, one by one.

    Raises:
        InvalidData: The files are not what the reader expects.
    """
    try:
        yield from READERS[reader](task, split, files)
    except (KeyError, IndexError, ValueError, tarfile.TarError) as error:
        if isinstance(error, InvalidData):
            raise
        raise InvalidData(
            f"{task.key}: {', '.join(files)}: not what the {reader} reader expects ({error!r})"
        ) from error


def write_parquet(task: Task, split: str, reader: str, files: Sequence[str], path: str) -> None:
    """Read a split's files into one Parquet file, which appears when it is complete.

    Raises:
        InvalidData: The files are not what the reader expects.
    """
    partial = f"{path}.partial-{os.getpid()}"
    try:
        rows = read_rows(task, split, reader, files)
        first = pa.Table.from_pylist(list(islice(rows, _BATCH_ROWS)))
        with pq.ParquetWriter(partial, first.schema, compression="zstd") as writer:
            writer.write_table(first)
            while batch := list(islice(rows, _BATCH_ROWS)):
                writer.write_table(pa.Table.from_pylist(batch, schema=first.schema))
        os.replace(partial, path)
    finally:
        if os.path.exists(partial):
            os.remove(partial)


def _lines(path: str) -> Iterator[str]:
    # Not str.splitlines: texts hold other characters that it takes for line ends.
    with open(path, encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line.rstrip("\r\n")


def _hans(task: Task, split: str, files: Sequence[str]) -> Iterator[Row]:
    """Tab-separated: label, parses, sentence1, sentence2, pair id, heuristic, subcase, template."""
    for line in islice(_lines(files[0]), 1, None):
        cells = line.split("\t")
        if cells[0] == "-":
            continue
        yield {
            "premise": cells[5],
            "hypothesis": cells[6],
            "label": task.labels.index(cells[0]),
            "heuristic": cells[8],
            "subcase": cells[9],
            "template": cells[10],
        }


def _eraser_multi_rc(task: Task, split: str, files: Sequence[str]) -> Iterator[Row]:
    """An archive of ``<split>.jsonl`` and ``docs/<id>``, a document a file."""
    name = {"train": "train.jsonl", "validation": "val.jsonl", "test": "test.jsonl"}[split]
    passages: dict[str, str] = {}
    lines: list[str] = []
    with tarfile.open(files[0]) as archive:
        for member in archive:
            content = archive.extractfile(member)
            folder, base = os.path.split(member.name)
            if content is None or base.startswith("._"):  # macOS packs its own files beside the real ones
                continue
            if os.path.basename(folder) == "docs":
                passages[base] = content.read().decode()
            elif base == name:
                lines = content.read().decode().split("\n")
    if not lines:
        raise InvalidData(f"{task.key}: {os.path.basename(files[0])}: has no {name}")
    for annotation in (json.loads(line) for line in lines if line):
        document = annotation["evidences"][0][0]["docid"]
        yield {
            "passage": passages[document],
            "query_and_answer": annotation["query"],
            "label": task.labels.index(annotation["classification"]),
        }


def _multi_news(task: Task, split: str, files: Sequence[str]) -> Iterator[Row]:
    """Two text files, line by line: the articles of a cluster, and its summary."""
    for document, summary in zip(_lines(files[0]), _lines(files[1]), strict=True):
        yield {"document": document.strip().replace("NEWLINE_CHAR", "\n"), "summary": summary.strip()}


def _conll2000(task: Task, split: str, files: Sequence[str]) -> Iterator[Row]:
    """A token a line with its part of speech and its chunk tag, an empty line after each sentence."""
    tokens: list[str] = []
    tags: list[int] = []
    for line in _lines(files[0]):
        if line:
            token, _, tag = line.split(" ")
            tokens.append(token)
            tags.append(task.labels.index(tag))
        elif tokens:
            yield {"tokens": tokens, "chunk_tags": tags}
            tokens, tags = [], []
    if tokens:
        yield {"tokens": tokens, "chunk_tags": tags}


def _json_lines(task: Task, split: str, files: Sequence[str]) -> Iterator[Row]:
    """A JSON object a line, the label's name in it."""
    for number, line in enumerate(_lines(files[0]), start=1):
        if not line.strip():
            continue
        row = json.loads(line)
        if row["label"] not in task.labels:
            raise InvalidData(
                f"{task.key}: {files[0]}, line {number}: label {row['label']!r} is none of {', '.join(task.labels)}"
            )
        yield {"text": row["text"], "label": task.labels.index(row["label"])}


def _text(task: Task, split: str, files: Sequence[str]) -> Iterator[Row]:
    """Plain text, an example a line."""
    for path in files:
        yield from ({"text": line} for line in _lines(path) if line.strip())


READERS: dict[str, Reader] = {
    "hans": _hans,
    "eraser_multi_rc": _eraser_multi_rc,
    "multi_news": _multi_news,
    "conll2000": _conll2000,
    "json_lines": _json_lines,
    "text": _text,
}
