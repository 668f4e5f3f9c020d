"""``python -m data_prep verify``: whether a store is what it says it is, byte by byte and example by example."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from data_prep.__main__ import Parser, add_user_tasks, fail
from data_prep.check_example import Bounds, find_problem, measure
from data_prep.decode import decode_texts, example_texts, load_tokenizer_of
from data_prep.labels import WITHHELD_TARGET, balance, imbalance, target_of
from data_prep.streams import Sample, Stream, list_store, read_shard
from data_prep.summary import table_console
from recipe.config import load_user_tasks
from recipe.data.manifest import INDEX, LENGTHS, MANIFEST, TRAINING_SPLITS, Manifest
from recipe.data.stream_files import StoreError, StreamFiles, read_stream_files, shard_files
from recipe.data.tokenizer import parse_tokenizer_folder
from recipe.errors import UserError
from recipe.tasks.catalogue import get_task

DESCRIPTION = """\
Verify every byte and every example of a shard store: the seals of manifest, lengths and index, the hashes of the
shards, and that each example is what its task, its tokenizer and its stream's limits allow. Nothing is changed.
"""

EPILOGUE = """\
examples:
  python -m data_prep verify shards
  python -m data_prep verify s3://bucket/shards --show 2     # shard by shard through a temporary folder

exit code: 0 all is well, warnings aside; 2 something is damaged, said in one line for each problem
"""


@dataclass
class Findings:
    """What one stream turned out to be."""

    stream: Stream
    manifest: Manifest | None = None
    examples: int = 0
    targets: Counter[str] = field(default_factory=Counter)
    shown: list[Sample] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def verify_stream(stream: Stream, show: int, advance: Callable[[float], None]) -> Findings:
    """Read a stream from end to end.

    Args:
        stream: Its place.
        show: Examples to keep for a look, evenly spaced.
        advance: Told which further share of the stream was read.
    """
    findings = Findings(stream)
    try:
        files = read_stream_files(stream.folder, stream.fix)
        findings.manifest = files.manifest
        _check_place(stream, files)
        seen = _read_examples(files, findings, show, advance)
    except StoreError as error:
        findings.errors.append(str(error))
        return findings
    if not findings.errors:
        _check_counts(stream, files, seen, findings)
        findings.warnings += imbalance(get_task(stream.task), findings.targets)
    expected = {MANIFEST, LENGTHS, INDEX, *shard_files(files.shards)}
    findings.warnings += [f"unexpected file {name}" for name in stream.files if name not in expected]
    return findings


def _check_place(stream: Stream, files: StreamFiles) -> None:
    """Whether the stream stands where its manifest says, with the catalogue's labels."""
    manifest, task = files.manifest, get_task(stream.task)
    says = (manifest.task, manifest.split, manifest.family, manifest.fingerprint[:8], manifest.labels)
    _, mark = parse_tokenizer_folder(stream.tokenizer_folder)
    labels = manifest.labels if task.has_open_labels else task.labels
    for said, expected in zip(says, (task.key, stream.split, task.family.value, mark, labels), strict=True):
        if said != expected:
            raise StoreError(f"{stream.folder}: {MANIFEST} says {said}, expected {expected}; {stream.fix}")


def _read_examples(
    files: StreamFiles, findings: Findings, show: int, advance: Callable[[float], None]
) -> NDArray[np.int64]:
    """Check all examples and count their targets; returns (N, 4) their measures (:func:`check_example.measure`)."""
    stream, task = findings.stream, get_task(findings.stream.task)
    vocabulary, _ = parse_tokenizer_folder(stream.tokenizer_folder)
    bounds = Bounds.of(files.manifest, vocabulary)
    every = max(1, files.manifest.written // max(1, show))
    measures, number = [], 0
    for shard in files.shards:
        own = []
        try:
            for sample in read_shard(stream, shard):
                if problem := find_problem(sample, task, bounds):
                    raise StoreError(f"{stream.folder}: example {number}: {problem}; {stream.fix}")
                own.append(measure(sample))
                if (target := target_of(sample, task)) is not None:
                    findings.targets[target] += 1
                if number % every == 0 and len(findings.shown) < show:
                    findings.shown.append(sample)
                number += 1
        except StoreError as error:  # the other shards may have something to say, too
            findings.errors.append(str(error))
        measures.append(np.array(own, np.int64).reshape(-1, 4))
        advance(shard["samples"] / files.manifest.written)
    findings.examples = number
    return np.concatenate(measures)


def _check_counts(stream: Stream, files: StreamFiles, measured: NDArray[np.int64], findings: Findings) -> None:
    manifest = files.manifest
    if not np.array_equal(measured[:, :3], files.lengths):
        findings.errors.append(f"{stream.folder}: {LENGTHS} does not fit the examples; {stream.fix}")
    rows, tokens = int(measured[:, 0].sum()), int(measured[:, 3].sum())
    dropped = sum(manifest.dropped.values())
    for what, says, found in (
        ("rows", manifest.rows, rows),
        ("tokens", manifest.tokens, tokens),
        ("read", manifest.read, manifest.written + dropped),
        ("unlabelled", manifest.unlabelled, findings.targets[WITHHELD_TARGET]),
    ):
        if says != found:
            findings.errors.append(f"{stream.folder}: {MANIFEST} says {what}={says}, it is {found}; {stream.fix}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.user_tasks:
            load_user_tasks(options.user_tasks)
        listing = list_store(options.store, options.tokenizer_folder)
    except UserError as error:
        return fail(error)
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("verifying", total=len(listing.streams))
        findings = []
        for number, stream in enumerate(listing.streams, start=1):
            progress.update(bar, description=f"verifying {stream.name}")
            findings.append(verify_stream(stream, options.show, lambda share: progress.advance(bar, share)))
            progress.update(bar, completed=number)
    _warn_of_missing_splits(findings)
    console = table_console()
    for one in findings:
        _show(console, one, options.tokenizer)
    _print_table(console, findings)
    for path in listing.strays:
        console.print(f"warning: {path}: belongs to no stream", highlight=False, soft_wrap=True)
    return fail(*(StoreError(error) for one in findings for error in one.errors)) if _damaged(findings) else 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m data_prep verify", DESCRIPTION, EPILOGUE)
    parser.add_argument("store", help="folder or URL of the shard store")
    parser.add_argument("--tokenizer-folder", help="only the streams of this folder of the store (default: all)")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="decode N examples of each stream to text")
    add_user_tasks(parser)
    parser.add_argument("--tokenizer", help="what decodes them (default: the one that the streams name)")
    return parser


def _damaged(findings: Sequence[Findings]) -> list[Findings]:
    return [one for one in findings if one.errors]


def _warn_of_missing_splits(findings: Sequence[Findings]) -> None:
    """A stream that is gone altogether can only be missed beside its other split."""
    there = {(one.stream.tokenizer_folder, one.stream.task, one.stream.split) for one in findings}
    for one in findings:
        needed = [split for split in TRAINING_SPLITS if get_task(one.stream.task).names_of(split)]
        missing = [s for s in needed if (one.stream.tokenizer_folder, one.stream.task, s) not in there]
        one.warnings += [f"the store has no {one.stream.task}/{split}" for split in missing]


def _show(console: Console, findings: Findings, tokenizer_name: str | None) -> None:
    """Print the examples that were kept, decoded back to text."""
    manifest, task = findings.manifest, get_task(findings.stream.task)
    if manifest is None or not findings.shown:
        return
    try:
        tokenizer = load_tokenizer_of(tokenizer_name or manifest.tokenizer, manifest.fingerprint)
    except UserError as error:
        findings.warnings.append(f"cannot show examples: {error}")
        return
    for sample in findings.shown:
        texts = decode_texts(tokenizer, example_texts(sample, task.family, manifest.stride))
        lines = [f"{findings.stream.name}: {target_of(sample, task) or 'summary last'}", *texts]
        console.print("\n  ".join(lines), markup=False, highlight=False, soft_wrap=True)


def _print_table(console: Console, findings: Sequence[Findings]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for head in ("stream", "examples", "rows", "tokens", "targets", "verdict"):
        table.add_column(head, justify="right" if head in ("examples", "rows", "tokens") else "left")
    for one in findings:
        counts = ("",) * 2 if one.manifest is None else (f"{one.manifest.rows:,}", f"{one.manifest.tokens:,}")
        verdict = "; ".join(["[red]damaged[/]"] * bool(one.errors) + one.warnings) or "ok"
        table.add_row(one.stream.name, f"{one.examples:,}", *counts, balance(one.targets), verdict)
    console.print(table)
    damaged, warned = len(_damaged(findings)), sum(len(one.warnings) for one in findings)
    examples = sum(one.examples for one in findings)
    console.print(
        f"{len(findings)} streams, {examples:,} examples: {damaged} damaged, {warned} warnings", highlight=False
    )
