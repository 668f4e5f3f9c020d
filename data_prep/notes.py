"""What a reader of the summary should know about where a stream's rows come from."""

from __future__ import annotations

from recipe.data.manifest import Manifest
from recipe.tasks import get_task
from recipe.tasks.origin import CONVERTED


def notes(manifest: Manifest) -> list[str]:
    """Differences between what the catalogue knows and what the Hub had; other sources owe the catalogue nothing."""
    if manifest.source != "hub":
        return []
    counted = None if manifest.limit else count_warning(manifest.task, manifest.source_split, manifest.read)
    return [note for note in (counted, place_warning(manifest.task, manifest.revision)) if note]


def count_warning(task: str, source_split: str, rows: int) -> str | None:
    """What to say where a split has another number of rows than the published one, else None."""
    known = get_task(task).origin.known_rows(source_split)
    if known is None or known == rows:
        return None
    return f"warning: {source_split} has {rows:,} rows where {known:,} are known"


def place_warning(task: str, revision: str) -> str | None:
    """What to say where the data comes from another place or commit than the first choice, else None."""
    first = get_task(task).origin.places[0]
    where, _, commit = revision.rpartition("@")
    if where != first.where:
        return f"warning: read from {where} instead of {first.where}"
    if first.revision not in (None, CONVERTED, commit):
        return f"warning: the pinned commit {first.revision} is gone, read {commit}"
    return None
