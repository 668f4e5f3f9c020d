"""Where a task's raw data is: the places to read it from, best first, and what is known about it.

Revisions are commits seen in public code or on Hub pages; None is the branch ``main`` of the day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

CONVERTED = "refs/convert/parquet"  # the branch where the Hub keeps its own Parquet copies of script datasets

Files = Mapping[str, tuple[str, ...]]  # split -> globs or paths inside the repository, or URLs


@dataclass(frozen=True, eq=False)
class Place:
    """One place that a dataset can be read from.

    Attributes:
        repository: Dataset repository on the Hub, or empty where ``files`` are URLs.
        config: Its configuration, which names the splits and their files where ``files`` does not.
        revision: Commit or branch, None for ``main``.
        files: The files of each split. A repository without a card needs them: left to guess, ``datasets`` merges
            configurations and splits, or drops them.
        reader: In :data:`data_prep.sources.raw.READERS` where the files are not Parquet, else empty.
        columns: The Hub's column names -> the names in this place, where they differ.
    """

    repository: str
    config: str = "default"
    revision: str | None = None
    files: Files = field(default_factory=dict)
    reader: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def where(self) -> str:
        """The place's name, without its commit."""
        if not self.repository:
            return next(iter(self.files.values()))[0]
        return f"{self.repository}/{CONVERTED}" if self.is_converted else self.repository

    @property
    def is_converted(self) -> bool:
        return bool(self.files) and not self.reader


@dataclass(frozen=True, eq=False)
class Origin:
    """Where a dataset comes from.

    Attributes:
        places: In the order in which they are tried; none where the data is licensed and has to be a local copy.
        rows: Number of rows of each split, as published.
        licence: As commonly stated; not checked.
        streamed: Too large to be worth a download: read over the network, a part at a time.
        unread: Large nested columns that no adapter reads, with dots; they are not fetched.
        index: The column that numbers a test split's rows as the benchmark's leaderboard does; None: it has none.
    """

    places: tuple[Place, ...]
    rows: Mapping[str, int]
    licence: str
    streamed: bool = False
    unread: tuple[str, ...] = ()
    index: str | None = None

    def known_rows(self, split: str) -> int | None:
        """How many rows a split should have, None where nobody said."""
        if "#" in split:  # a hash of the text decides
            return None
        parts = [self.rows.get(name) for name in source_splits(split)]
        return None if None in parts else sum(rows for rows in parts if rows is not None)


def source_splits(name: str) -> tuple[str, ...]:
    """The source's own splits that a split of :class:`recipe.tasks.task.Task` is made of."""
    return tuple(part.partition("#")[0] for part in name.split("+"))


def native(
    repository: str,
    config: str = "default",
    *,
    rows: Mapping[str, int],
    licence: str,
    revision: str | None = None,
    **rest,
) -> Origin:
    """A repository of Parquet files whose card names configurations and splits.

    If it cannot be read as expected: without the pin, then the Hub's own conversion (complete only for data that is
    not so large that it is streamed).
    """
    places = [Place(repository, config, revision)]
    if revision:
        places.append(Place(repository, config))
    if not rest.get("streamed"):
        places.append(converted(repository, config, rows))
    return Origin(tuple(places), rows, licence, **rest)


def script(
    repository: str,
    config: str = "default",
    *others: Place,
    rows: Mapping[str, int],
    licence: str,
    revision: str = CONVERTED,
    **rest,
) -> Origin:
    """A repository with a loading script, which nothing runs any more: the Hub's conversion, then the other places."""
    revisions = dict.fromkeys((revision, CONVERTED))
    return Origin((*(converted(repository, config, rows, r) for r in revisions), *others), rows, licence, **rest)


def converted(repository: str, config: str, splits: Mapping[str, int], revision: str = CONVERTED) -> Place:
    """The Hub's own Parquet copy. It has no card, so every split's files are said."""
    return Place(repository, config, revision, {split: (f"{config}/{split}/*.parquet",) for split in splits})


def raw(reader: str, files: Files, repository: str = "") -> Place:
    """The original files, read by ours: paths in a repository on the Hub, or URLs."""
    return Place(repository, files=files, reader=reader)


def licensed(licence: str) -> Origin:
    """Data that nobody may publish: only a local copy can be converted."""
    return Origin((), {}, licence)
