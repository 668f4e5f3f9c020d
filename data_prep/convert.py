"""Units of a conversion, and one piece of a unit -> one part: shards and what they count.

The same input with the same settings gives the same bytes, whichever process converts the piece, and when.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.adapters import PLACE, get_adapter
from data_prep.encode import EncodedExample, Limits, encode
from data_prep.examples import Example, InvalidData, Unusable, is_labelled
from data_prep.folder import Folder, explain_os_errors, open_folder, store_path
from data_prep.label_space import label_space
from data_prep.part import Part, part_name, record_name
from data_prep.shards import rename_shard, write_shards
from data_prep.sources import Piece, Selection, Source, SourceError, parse_source, select
from recipe.data.manifest import TRAINING_SPLITS, VERSION, Manifest, columns, token_dtype
from recipe.data.tokenizer import fingerprint, tokenizer_folder
from recipe.errors import UserError
from recipe.tasks.catalogue import Family, Task, get_task

_BATCH_CHARACTERS = 1 << 20  # the least text that is tokenised at once, where there is as much

NumberedRow = tuple[int, dict[str, Any]]  # a raw row and its place in the split
Report = Callable[[int], None]  # told how many more source rows were handled


class ConversionError(UserError):
    """A conversion that cannot be done: one line with the path or task and the fix."""


@dataclass(frozen=True)
class Settings:
    """What all units of a conversion share.

    Attributes:
        store: Folder or URL of the shard store.
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
    """One task and split: what becomes one stream.

    Attributes:
        manifest: What the finished stream's manifest will say, the counts aside.
        place: The finished stream's folder or URL.
        selection: The rows of the source's split that are taken.
    """

    manifest: Manifest
    place: str
    selection: Selection

    @property
    def name(self) -> str:
        return f"{self.manifest.task}/{self.manifest.split}"

    @property
    def index(self) -> str | None:
        """The column with the examples' numbers on a leaderboard: of test splits, where there is one."""
        return get_task(self.manifest.task).origin.index if self.manifest.split == "test" else None

    @property
    def rows(self) -> int:
        """Source rows that will be taken."""
        return self.selection.rows

    @property
    def pieces(self) -> dict[int, Piece]:
        """The pieces of which rows are taken, by their numbers among the split's."""
        return {n: piece for n, piece in enumerate(self.selection.pieces) if self.selection.takes_of(piece)}

    @property
    def settings(self) -> str:
        """Digest of all that decides the stream's content."""
        return hashlib.sha256(json.dumps(self.manifest.settings(), sort_keys=True).encode()).hexdigest()

    def open(self) -> Folder:
        """Where it is written."""
        return open_folder(self.place, self.settings[:8])


def plan_units(
    tasks: Sequence[str], splits: Sequence[str], settings: Settings, tokenizer: PreTrainedTokenizerFast
) -> list[Unit]:
    """The units of a conversion, in the tasks' order; none for a test split that the catalogue or the source has not.

    Raises:
        SourceError: The source lacks a split that a task needs.
        WriteError: The store is a URL of a kind that cannot be written.
        ConversionError: Rows would be longer than the tokenizer's model takes.
    """
    limits = settings.limits
    if limits.max_length > tokenizer.model_max_length:
        raise ConversionError(
            f"--max-length {limits.max_length}: the model of tokenizer {tokenizer.name_or_path} "
            f"takes at most {tokenizer.model_max_length} tokens"
        )
    source = parse_source(settings.source)
    root = f"{store_path(settings.store)}/{tokenizer_folder(tokenizer)}"
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
            if name is None:
                continue
            own = {"task": task.key, "family": task.family.value, "split": split, "labels": labels}
            manifest = Manifest(**common, **own, source_split=name, revision=revision)
            selection = select(source, task.key, name, settings.limit)
            units.append(Unit(manifest, f"{root}/{task.key}/{split}", selection))
    return units


def _source_split(source: Source, task: Task, split: str) -> str | None:
    """What the source calls the split, None where it has none and need not have one."""
    there, names = source.splits(task.key), task.names_of(split)
    for name in names:
        if name in there:
            return name
    if split not in TRAINING_SPLITS or not names:
        return None
    raise SourceError(
        f"{task.key}: the source has no split for {split} (expected {' or '.join(names)}, it has "
        f"{', '.join(there) or 'nothing'}); provide it, or leave the task or the split out"
    )


def convert_part(
    unit: Unit, number: int, settings: Settings, tokenizer: PreTrainedTokenizerFast, report: Report
) -> Part:
    """Convert one piece of a unit and put its shards and its record where the stream is written.

    Raises:
        InvalidData: The source contradicts the dataset's schema.
        WriteError: The store cannot be written.
    """
    folder = unit.open()
    with folder.scratch() as scratch:
        part = _write(unit, number, settings, tokenizer, scratch, report)
        with explain_os_errors(scratch), open(os.path.join(scratch, record_name(number)), "w") as file:
            file.write(part.to_json())
        folder.put(scratch, [*part.files, record_name(number)])
    return part


def _write(
    unit: Unit, number: int, settings: Settings, tokenizer: PreTrainedTokenizerFast, scratch: str, report: Report
) -> Part:
    """Write the shards of a piece into an empty folder."""
    family, split = Family(unit.manifest.family), unit.manifest.split
    dropped: Counter[str] = Counter()
    lengths: list[tuple[int, int, int]] = []
    tokens = read = unlabelled = 0
    with write_shards(scratch, columns(family, split, token_dtype(len(tokenizer)))) as writer:
        for rows in _read(unit, number, settings):
            for examples in _bounded(_adapt(unit, rows, dropped)):
                outcomes = encode(examples, family, tokenizer, settings.limits, split, unit.manifest.labels)
                for example, outcome in zip(examples, outcomes, strict=True):
                    if isinstance(outcome, EncodedExample):
                        writer.write(outcome.columns)
                        lengths.append((outcome.rows, outcome.longest, outcome.target))
                        tokens += outcome.tokens
                        unlabelled += not is_labelled(example)
                    else:
                        dropped[outcome] += 1
            read += len(rows)
            report(len(rows))
    shards = [rename_shard(shard, scratch, f"{part_name(number)}.{n:05}") for n, shard in enumerate(writer.shards)]
    piece = unit.pieces[number]
    sizes = np.array(lengths, np.int32).reshape(-1, 3)
    return Part(unit.settings, piece, shards, sizes, read, dict(dropped), tokens, unlabelled)


def _read(unit: Unit, number: int, settings: Settings) -> Iterator[list[NumberedRow]]:
    """The piece's raw rows that are wanted."""
    source = parse_source(settings.source)  # first: a user's tasks are known from here on, in every process
    task, piece = unit.manifest.task, unit.pieces[number]
    position = piece[0]
    wanted = dict.fromkeys([*get_adapter(task).columns, *filter(None, [unit.index])])
    for rows in source.read(task, unit.manifest.source_split, list(wanted), piece):
        yield [(n, row) for n, row in enumerate(rows, start=position) if unit.selection.takes(n)]
        position += len(rows)


def _bounded(examples: Sequence[Example]) -> Iterator[Sequence[Example]]:
    """The examples in batches of bounded text: what a tokenizer says of a text is a hundred times the text's size."""
    batch: list[Example] = []
    characters = 0
    for example in examples:
        batch.append(example)
        characters += _characters(example)
        if characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _characters(example: Example) -> int:
    """The text in an example's fields."""
    fields = [getattr(example, name) for name in example.__slots__]
    texts = [value for field in fields for value in (field if isinstance(field, tuple) else (field,))]
    return sum(len(text) for text in texts if isinstance(text, str))


def _adapt(unit: Unit, rows: Sequence[NumberedRow], dropped: Counter[str]) -> list[Example]:
    """The rows' examples; counts those that cannot become one."""
    adapter = get_adapter(unit.manifest.task)
    convert, index = adapter.read if unit.manifest.split == "test" else adapter.convert, unit.index
    examples = []
    for number, row in rows:
        try:
            example = convert(row)
            examples.append(example if index is None else replace(example, index=row[index]))
        except Unusable as reason:
            dropped[str(reason)] += 1
        except InvalidData as error:
            if PLACE in row:  # then the error names it
                raise
            where = f"{unit.manifest.task}/{unit.manifest.source_split}, row {number} (the first is 0)"
            raise InvalidData(f"{where}: {error}") from error
    return examples
