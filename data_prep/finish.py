"""A stream from its parts: which are there already, and how a complete set becomes what readers open."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from data_prep.convert import ConversionError, Unit
from data_prep.drops import check_drops
from data_prep.folder import explain_os_errors
from data_prep.part import Part, record_name
from recipe.data.manifest import INDEX, LENGTHS, MANIFEST, Manifest
from recipe.data.stream_files import seal_stream, shard_files


def find_finished(unit: Unit) -> Manifest | None:
    """The manifest of the unit's stream, if it is there and was made with the same settings from the same data.

    A run that was killed after the stream's last file and before it had tidied up is finished here.
    """
    folder = unit.open()
    for read in (folder.read, folder.read_published):
        manifest, index = read(MANIFEST), read(INDEX)
        try:
            found = Manifest.from_json((manifest or b"").decode())
            files = shard_files(json.loads(index or b"")["shards"])
        except (ValueError, KeyError, TypeError):
            continue
        if found.settings() == unit.manifest.settings():
            folder.publish({INDEX, LENGTHS, MANIFEST, *files})
            return found
    return None


def find_parts(unit: Unit) -> dict[int, Part]:
    """The parts that earlier runs finished with the same settings, by number."""
    folder = unit.open()
    names = folder.names()
    parts = {}
    for number, piece in unit.pieces.items():
        record = folder.read(record_name(number)) if record_name(number) in names else None
        try:
            part = Part.from_json(record or b"")
        except ValueError:
            continue
        if (part.settings, part.piece) == (unit.settings, piece) and names.issuperset(part.files):
            parts[number] = part
    return parts


def finish_stream(unit: Unit, parts: Mapping[int, Part]) -> Manifest:
    """Write what a complete set of parts still needs to be a stream, the manifest last, and publish it.

    Raises:
        ConversionError: Not one example was usable, or the parts contradict themselves.
        TooManyDropped: More rows were dropped than the dataset explains.
        WriteError: The store cannot be written.
    """
    ordered = [parts[number] for number in sorted(unit.pieces)]
    shards = [shard for part in ordered for shard in part.shards]
    lengths = np.concatenate([np.empty((0, 3), np.int32), *(part.lengths for part in ordered)])
    manifest = _count(unit, ordered, lengths)
    check_drops(manifest)
    if sum(shard["samples"] for shard in shards) != len(lengths):
        raise ConversionError(f"{unit.place}: its shards and its lengths differ in number; use --overwrite")
    files = (INDEX, LENGTHS, MANIFEST)
    folder = unit.open()
    with folder.scratch() as scratch:
        with explain_os_errors(scratch):
            with open(os.path.join(scratch, INDEX), "w") as file:
                json.dump({"version": 2, "shards": shards}, file, sort_keys=True)
            manifest = seal_stream(scratch, lengths, manifest)
        folder.put(scratch, files)
    unit.open().publish({*files, *shard_files(shards)})
    return manifest


def _count(unit: Unit, parts: list[Part], lengths: np.ndarray) -> Manifest:
    """The manifest with what the parts counted."""
    dropped: Counter[str] = Counter()
    for part in parts:
        dropped.update(part.dropped)
    if not len(lengths):
        reasons = ", ".join(f"{reason}: {count}" for reason, count in dropped.most_common()) or "it has no rows"
        raise ConversionError(f"{unit.name}: not one usable example in {unit.manifest.source_split} ({reasons})")
    return replace(
        unit.manifest,
        read=sum(part.read for part in parts),
        written=len(lengths),
        dropped=dict(sorted(dropped.items())),
        tokens=sum(part.tokens for part in parts),
        rows=int(lengths[:, 0].sum()),
        unlabelled=sum(part.unlabelled for part in parts),
    )
