"""The command line of the overlap report."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import Progress
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.__main__ import Parser, add_user_tasks, comma_list, fail, fail_to_write, positive
from data_prep.decode import load_tokenizer_of
from data_prep.overlap.drop import choose_removals, write_clean_store
from data_prep.overlap.index import IndexedStream, KeyIndex, build_index
from data_prep.overlap.keys import BANDS
from data_prep.overlap.match import find_matches
from data_prep.overlap.report import Quote, write_report
from data_prep.overlap.shares import sum_up
from data_prep.streams import list_one_tokenizer, read_example
from recipe.config import load_user_tasks
from recipe.data.stream_files import StoreError, read_stream_files
from recipe.errors import UserError
from recipe.tasks.catalogue import get_task

DESCRIPTION = """\
Look for contamination: examples of evaluation sets that training sets have, too, word for word or nearly, and
examples that training sets share. Writes overlap.md, overlap.json and the heat map overlap.png.
"""

EPILOGUE = """\
examples:
  python -m data_prep overlap shards --out reports/overlap
  # and a store without the training examples that evaluation sets have
  python -m data_prep overlap shards --drop-overlap shards-clean

needs about 1 kB an example in the temporary folder (set TMPDIR to move it) and 150 bytes in memory
exit code: 0 done, whatever was found; 2 something is wrong, said in one line
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = _parser().parse_args(arguments)
    console = Console(stderr=True)
    try:
        if options.user_tasks:
            load_user_tasks(options.user_tasks)
        with Progress(console=console) as progress, tempfile.TemporaryDirectory() as folder:
            _run(options, folder, progress)
    except UserError as error:
        return fail(error)
    except OSError as error:
        return fail_to_write(error, options.out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser("python -m data_prep overlap", DESCRIPTION, EPILOGUE)
    add = parser.add_argument
    add("store", help="folder or URL of the shard store")
    add("--out", default="overlap", help="folder of the report (default: %(default)s)")
    add("--drop-overlap", metavar="STORE", help="also write a new store without what overlaps")
    add("--tasks", type=comma_list, help="only these tasks, comma separated (default: all)")
    add_user_tasks(parser)
    add("--tokenizer", help="what decodes the store (default: the one that its streams name)")
    add("--tokenizer-folder", help="whose streams, where a store has those of several tokenizers")
    add("--workers", type=positive, default=os.cpu_count() or 1, help="processes (default: one a core, %(default)s)")
    return parser


def _run(options: argparse.Namespace, folder: str, progress: Progress) -> None:
    streams = _open_streams(options)
    manifest = streams[0].files.manifest
    tokenizer = load_tokenizer_of(options.tokenizer or manifest.tokenizer, manifest.fingerprint)
    total = sum(one.files.manifest.written for one in streams)
    start = time.monotonic()
    bar = progress.add_task("reading", total=total)
    index = build_index(streams, tokenizer, folder, options.workers, lambda n: progress.advance(bar, n))
    read = time.monotonic()
    bar = progress.add_task("comparing", total=BANDS + 3)
    matches = find_matches(index, lambda: progress.advance(bar))
    end = time.monotonic()
    title = f"Overlap in {os.path.basename(options.store.rstrip('/'))}/{streams[0].stream.tokenizer_folder}"
    sizes = {one.name: one.files.manifest.written for one in streams}
    write_report(Path(options.out), title, sizes, sum_up(index, matches), _quote(index, tokenizer))
    out = Console()
    seconds = f"{read - start:,.1f} s reading, {end - read:,.1f} s comparing, {total / (end - start):,.0f} examples/s"
    out.print(f"{options.out}/overlap.md: {total:,} examples, {seconds}", highlight=False, soft_wrap=True)
    if options.drop_overlap:
        bar = progress.add_task("writing", total=total)
        reasons = choose_removals(index, matches)
        removed = write_clean_store(index, reasons, options.drop_overlap, lambda n: progress.advance(bar, n))
        for (training, evaluation), count in sorted(removed.items()):
            out.print(f"{training}: {count:,} examples removed that {evaluation} has", highlight=False)
        out.print(f"{options.drop_overlap}: {sum(removed.values()):,} training examples removed", highlight=False)


def _open_streams(options: argparse.Namespace) -> list[IndexedStream]:
    listing = list_one_tokenizer(options.store, options.tokenizer_folder)
    wanted = {get_task(key).key for key in options.tasks or ()}
    there = {stream.task for stream in listing.streams}
    if wanted - there:
        raise StoreError(f"{options.store}: no streams of {', '.join(sorted(wanted - there))}; convert them first")
    chosen = [stream for stream in listing.streams if not wanted or stream.task in wanted]
    return [IndexedStream(stream, read_stream_files(stream.folder, stream.fix)) for stream in chosen]


def _quote(index: KeyIndex, tokenizer: PreTrainedTokenizerFast) -> Quote:
    def quote(example: int) -> list[str]:
        stream = int(index.stream_of[example])
        one, place = index.streams[stream], example - int(index.starts[stream])
        ends = np.cumsum([shard["samples"] for shard in one.files.shards])
        shard = int(np.searchsorted(ends, place, side="right"))
        inside = place - int(ends[shard]) + one.files.shards[shard]["samples"]
        return one.texts(read_example(one.stream, one.files.shards[shard], inside), tokenizer)

    return quote
