"""One task and split of a source -> one finished stream of the shard store.

A stream is written beside its place and renamed into it once it is complete and verified: whatever happens to the
process, nothing half-written is ever read. The same input gives the same bytes.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
from streaming import MDSWriter
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.adapters import get_adapter
from data_prep.drops import check_drops
from data_prep.encode import EncodedExample, Limits, encode
from data_prep.examples import Example, InvalidData, Unusable
from data_prep.label_space import label_space
from data_prep.sources import Rows, Source, SourceError, parse_source, select
from recipe.data.manifest import INDEX, LENGTHS, MANIFEST, VERSION, Manifest, columns, token_dtype, write_manifest
from recipe.data.tokenizer import fingerprint, tokenizer_folder
from recipe.errors import UserError
from recipe.tasks.catalogue import Task, get_task

Report = Callable[[int], None]  # told how many more source rows were handled


class ConversionError(UserError):
    """A conversion that cannot be done or cannot be written: one line with the path or task and the fix."""


@dataclass(frozen=True)
class Settings:
    """What all units of a conversion share.

    Attributes:
        store: Folder of the shard store.
        source: As :func:`data_prep.sources.parse_source` reads it.
        limits: Lengths and windows.
        limit: Most rows of each split (:func:`data_prep.sources.select`), or None for all.
    """

    store: str
    source: str
    limits: Limits
    limit: int | None = None


@dataclass(frozen=True)
class Unit:
    """One task and split: what one process converts at a time.

    Attributes:
        manifest: What the finished stream's manifest will say, the counts aside.
        folder: The finished stream's place.
        rows: Source rows that will be read.
    """

    manifest: Manifest
    folder: str
    rows: int

    @property
    def name(self) -> str:
        return f"{self.manifest.task}/{self.manifest.split}"


def plan_units(
    tasks: Sequence[str], splits: Sequence[str], settings: Settings, tokenizer: PreTrainedTokenizerFast
) -> list[Unit]:
    """The units of a conversion, in the tasks' order.

    Raises:
        SourceError: The source lacks a split that a task needs.
        ConversionError: Rows would be longer than the tokenizer's model takes.
    """
    limits = settings.limits
    if limits.max_length > tokenizer.model_max_length:
        raise ConversionError(
            f"--max-length {limits.max_length}: the model of tokenizer {tokenizer.name_or_path} "
            f"takes at most {tokenizer.model_max_length} tokens"
        )
    source = parse_source(settings.source)
    root = os.path.join(os.path.abspath(os.path.expanduser(settings.store)), tokenizer_folder(tokenizer))
    common = {
        "version": VERSION,
        "source": source.name,
        "tokenizer": tokenizer.name_or_path,
        "fingerprint": fingerprint(tokenizer),
        **asdict(limits),
        "limit": settings.limit,
        **{"read": 0, "written": 0, "dropped": {}, "tokens": 0, "rows": 0},
    }
    units = []
    for task in map(get_task, tasks):
        revision, labels = source.revision(task.key), label_space(source, task)
        for split in splits:
            name = _source_split(source, task, split)
            own = {"task": task.key, "family": task.family.value, "split": split, "labels": labels}
            manifest = Manifest(**common, **own, source_split=name, revision=revision)
            rows = select(source, task.key, name, settings.limit).rows
            units.append(Unit(manifest, os.path.join(root, task.key, split), rows))
    return units


def _source_split(source: Source, task: Task, split: str) -> str:
    there = source.splits(task.key)
    names = (task.train_split,) if split == "train" else task.evaluation_splits
    for name in names:
        if name in there:
            return name
    raise SourceError(
        f"{task.key}: the source has no split for {split} (expected {' or '.join(names)}, it has "
        f"{', '.join(there) or 'nothing'}); provide it, or leave the task or the split out"
    )


def find_finished(unit: Unit) -> Manifest | None:
    """The manifest of the unit's stream, if it is there and was made with the same settings from the same data."""
    try:
        with open(os.path.join(unit.folder, MANIFEST), encoding="utf-8") as file:
            manifest = Manifest.from_json(file.read())
    except (OSError, ValueError):
        return None
    return manifest if manifest.settings() == unit.manifest.settings() else None


def convert_unit(unit: Unit, settings: Settings, tokenizer: PreTrainedTokenizerFast, report: Report) -> Manifest:
    """Convert one unit and publish its stream, in the place of an older one if there is one.

    Raises:
        InvalidData: The source contradicts the dataset's schema.
        ConversionError: Not one example was usable, or the store cannot be written.
        TooManyDropped: More rows were dropped than the dataset explains.
    """
    final = unit.folder
    partial = f"{final}.partial-{os.getpid()}"
    try:
        _remove_leftovers(final)
        os.makedirs(partial)
        manifest = _write(unit, settings, tokenizer, partial, report)
        _publish(partial, final)
    except OSError as error:
        raise ConversionError(f"{error.filename or final}: cannot write the store: {error.strerror}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _write(unit: Unit, settings: Settings, tokenizer: PreTrainedTokenizerFast, folder: str, report: Report) -> Manifest:
    """Write shards, index, lengths and manifest into an empty folder."""
    task, split = get_task(unit.manifest.task), unit.manifest.split
    dropped: Counter[str] = Counter()
    lengths: list[tuple[int, int, int]] = []
    tokens = read = 0
    # Not a context manager: on an exception that would finish the stream as if it were complete.
    writer = MDSWriter(
        out=folder,
        columns=columns(task.family, split, token_dtype(len(tokenizer))),
        compression="zstd",
        hashes=["xxh64"],
    )
    try:
        for rows in _read(unit, settings):
            examples = _adapt(unit, rows, read, dropped)
            for outcome in encode(examples, task.family, tokenizer, settings.limits, split, unit.manifest.labels):
                if isinstance(outcome, EncodedExample):
                    writer.write(outcome.columns)
                    lengths.append((outcome.rows, outcome.longest, outcome.target))
                    tokens += outcome.tokens
                else:
                    dropped[outcome] += 1
            read += len(rows)
            report(len(rows))
    except BaseException:
        writer.cancel_future_jobs()
        raise
    if not lengths:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.most_common()) or "it has no rows"
        raise ConversionError(f"{unit.name}: not one usable example in {unit.manifest.source_split} ({reasons})")
    writer.finish()
    manifest = replace(
        unit.manifest,
        read=read,
        written=len(lengths),
        dropped=dict(sorted(dropped.items())),
        tokens=tokens,
        rows=sum(rows for rows, _, _ in lengths),
    )
    check_drops(manifest)
    np.save(os.path.join(folder, LENGTHS), np.array(lengths, np.int32), allow_pickle=False)
    return write_manifest(folder, manifest)


def _read(unit: Unit, settings: Settings) -> Iterator[Rows]:
    """The unit's raw rows."""
    source = parse_source(settings.source)
    task, split = unit.manifest.task, unit.manifest.source_split
    selection = select(source, task, split, settings.limit)
    for piece in selection.pieces:
        position = piece[0]
        for rows in source.read(task, split, get_adapter(task).columns, piece):
            yield [row for number, row in enumerate(rows, start=position) if selection.takes(number)]
            position += len(rows)


def _adapt(unit: Unit, rows: Rows, read: int, dropped: Counter[str]) -> list[Example]:
    """The rows' examples; counts those that cannot become one."""
    convert = get_adapter(unit.manifest.task).convert
    examples = []
    for number, row in enumerate(rows, start=read + 1):
        try:
            examples.append(convert(row))
        except Unusable as reason:
            dropped[str(reason)] += 1
        except InvalidData as error:
            where = f"{unit.manifest.task}/{unit.manifest.source_split}, row {number} of those read"
            raise InvalidData(f"{where}: {error}") from error
    return examples


def _publish(partial: str, final: str) -> None:
    """Rename a complete stream into its place."""
    with open(os.path.join(partial, INDEX), encoding="utf-8") as file:
        indexed = sum(shard["samples"] for shard in json.load(file)["shards"])
    written = len(np.load(os.path.join(partial, LENGTHS), allow_pickle=False))
    if indexed != written:
        raise ConversionError(f"{partial}: the index has {indexed} examples, {written} were written; convert again")
    replaced = f"{partial}-replaced"
    if os.path.isdir(final):
        os.rename(final, replaced)
    os.rename(partial, final)
    shutil.rmtree(replaced, ignore_errors=True)


def _remove_leftovers(final: str) -> None:
    """Remove what killed processes left beside a stream's place."""
    parent, name = os.path.split(final)
    for entry in os.listdir(parent) if os.path.isdir(parent) else ():
        match = re.fullmatch(re.escape(name) + r"\.partial-(\d+)(-replaced)?", entry)
        if match and not _is_running_elsewhere(int(match[1])):
            shutil.rmtree(os.path.join(parent, entry))


def _is_running_elsewhere(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
