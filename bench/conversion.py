"""What conversion costs beyond tokenising, as ratios within one run, and how much memory it takes.

    make bench

Speed: generated datasets, their texts as long as the real ones', are converted by one process, in turns with the
tokenizer's own batch encoding of the same texts, nothing kept: `tokenizer` is the call that a user would write, `its
Rust core` what that call wraps. All run on one thread and are timed in CPU seconds.

Memory: the peak of a whole process that converts a million short rows, or rows of a megabyte.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep import train_tokenizer
from data_prep.adapters import get_adapter
from data_prep.convert import Settings, Unit, plan_units
from data_prep.encode import Limits
from data_prep.examples import ClassificationExample, SpanExample
from data_prep.miniature import generate
from data_prep.sources import parse_source
from data_prep.workers import convert_units
from recipe.data.tokenizer import load_tokenizer

ROUNDS = 5
# Task, rows, the column that is made as long as in the real dataset, how many rows' texts that takes.
SPEED = (("mnli", 10_000, "premise", 2), ("squad", 2_000, "context", 3))
BATCH = 512
MEBIBYTE = 1 << 20


def main() -> None:
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        tokenizer_folder = f"{folder}/tokenizer"
        if train_tokenizer.main([tokenizer_folder, "--source", "miniature", "--vocab-size", "4000"]):
            sys.exit(1)
        print(f"\n{'':<16}{'words':>10}{'examples/s':>14}{'of tokenizer':>14}{'of its Rust core':>18}")
        for task, rows, column, times in SPEED:
            show_speed(folder, tokenizer_folder, task, lengthen(generate(task, "train", rows), column, times))
        print(f"\n{'':<34}{'rows':>12}{'raw MiB':>10}{'peak MiB':>10}")
        show_memory(folder, tokenizer_folder, "a million short rows", "cola", short_rows(1_000_000), None)
        show_memory(folder, tokenizer_folder, "rows of a megabyte, 1 in 20 kept", "squad", long_rows(600), 30)


def lengthen(table: pa.Table, column: str, times: int) -> pa.Table:
    """Each text of the column followed by the next rows' ones."""
    texts = table[column].to_pylist()
    longer = [" ".join(texts[(row + n) % len(texts)] for n in range(times)) for row in range(len(texts))]
    return table.set_column(table.column_names.index(column), column, pa.array(longer))


def show_speed(folder: str, tokenizer_folder: str, task: str, table: pa.Table) -> None:
    """Prints a line: examples a second, and how that compares with tokenising alone."""
    raw = Path(folder, "raw", task)
    raw.mkdir(parents=True)
    pq.write_table(table, raw / "train.parquet")
    settings = Settings(f"{folder}/store", f"local:{raw.parent}", Limits())
    tokenizer = load_tokenizer(tokenizer_folder)
    texts = list(read_texts(settings, task))
    units = plan_units([task], ["train"], settings, tokenizer)
    ways: dict[str, Callable[[], None]] = {
        "conversion": lambda: convert(units, settings, tokenizer),
        "call": lambda: encode(tokenizer, texts, settings.limits, core=False),
        "core": lambda: encode(tokenizer, texts, settings.limits, core=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            start = time.process_time()
            way()
            seconds[name].append(time.process_time() - start)
    rate = table.num_rows / statistics.median(seconds["conversion"])
    words = statistics.mean(len(f"{first} {second}".split()) for first, second in texts)
    ratios = [
        statistics.median(
            alone / all_of_it for alone, all_of_it in zip(seconds[name], seconds["conversion"], strict=True)
        )
        for name in ("call", "core")
    ]
    print(f"{task:<16}{words:>10.0f}{rate:>14,.0f}{ratios[0]:>14.2f}{ratios[1]:>18.2f}")


def read_texts(settings: Settings, task: str) -> Iterator[tuple[str, str]]:
    """The pairs of texts that the task's adapter makes of its rows."""
    adapter = get_adapter(task)
    for rows in parse_source(settings.source).read(task, "train", adapter.columns):
        for example in map(adapter.convert, rows):
            if isinstance(example, ClassificationExample):
                yield example.text, example.second_text or ""
            elif isinstance(example, SpanExample):
                yield example.question, example.context


def encode(tokenizer: PreTrainedTokenizerFast, texts: list[tuple[str, str]], limits: Limits, *, core: bool) -> None:
    """Tokenise pairs of texts in batches, and forget them."""
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        if core:  # truncates as the last call of the tokenizer did
            tokenizer.backend_tokenizer.encode_batch(batch)
        else:
            first, second = zip(*batch, strict=True)
            tokenizer(
                list(first),
                list(second),
                truncation="only_second",
                max_length=limits.max_length,
                stride=limits.stride,
                return_overflowing_tokens=True,
            )


def convert(units: list[Unit], settings: Settings, tokenizer: PreTrainedTokenizerFast) -> None:
    """Convert units in this process, whether or not they are there already."""
    errors = convert_units(units, settings, tokenizer, 1, lambda _: None, lambda *_: None, overwrite=True)
    if errors:
        sys.exit(str(errors[0]))


def short_rows(count: int) -> Iterator[pa.Table]:
    """CoLA's columns, ten words a row."""
    rng = random.Random(0)
    words = [f"word{number}" for number in range(1000)]
    for start in range(0, count, 10_000):
        sentences = [" ".join(rng.choices(words, k=10)) for _ in range(10_000)]
        yield pa.table({"sentence": sentences, "label": [0] * 10_000, "idx": range(start, start + 10_000)})


def long_rows(count: int) -> Iterator[pa.Table]:
    """SQuAD's columns, a page of a megabyte in each row, in small row groups as Natural Questions has them."""
    rng = random.Random(0)
    text = " ".join(rng.choices([f"word{number}" for number in range(1000)], k=500_000))
    for _ in range(0, count, 20):
        starts = [rng.randrange(len(text) - MEBIBYTE) for _ in range(20)]
        pages = [text[start : start + MEBIBYTE] for start in starts]
        answers = [{"text": [page[:3]], "answer_start": [0]} for page in pages]
        yield pa.table({"context": pages, "question": ["which word?"] * 20, "answers": answers})


def show_memory(
    folder: str, tokenizer_folder: str, name: str, task: str, tables: Iterator[pa.Table], limit: int | None
) -> None:
    """Prints a line: the peak memory of a process that converts these rows of the task."""
    raw = Path(folder, f"raw-{task}-memory", task)
    raw.mkdir(parents=True)
    first = next(tables)
    with pq.ParquetWriter(raw / "train.parquet", first.schema) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)
    described = pq.ParquetFile(raw / "train.parquet").metadata
    size = sum(described.row_group(index).total_byte_size for index in range(described.num_row_groups))
    settings = Settings(f"{folder}/store-{task}-memory", f"local:{raw.parent}", Limits(), limit)
    context = multiprocessing.get_context("spawn")  # a process whose peak is its own
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=measure_memory, args=(settings, tokenizer_folder, task, send))
    process.start()
    peak = receive.recv()
    process.join()
    print(f"{name:<34}{described.num_rows:>12,}{size / MEBIBYTE:>10,.0f}{peak:>10,.0f}")


def measure_memory(settings: Settings, tokenizer_folder: str, task: str, result) -> None:
    """Convert, then send the process's peak memory in MiB."""
    tokenizer = load_tokenizer(tokenizer_folder)
    convert(plan_units([task], ["train"], settings, tokenizer), settings, tokenizer)
    result.send(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


if __name__ == "__main__":
    main()
