"""Catalogue and documentation know of every dataset where it is, how large, and under which licence."""

from __future__ import annotations

from pathlib import Path

from recipe.tasks.catalogue import CATALOGUE
from recipe.tasks.origin import source_splits


def test_every_dataset_on_the_hub_has_its_splits_rows_and_licence_in_the_catalogue():
    for task in CATALOGUE.values():
        origin = task.origin
        assert origin.licence
        if origin.places:
            for split in (task.train_split, task.evaluation_splits[-1]):
                assert all(origin.known_rows(own) for own in source_splits(split)), (task.key, split)


def test_the_documentation_has_every_dataset_with_its_rows_and_licence():
    lines = Path(__file__).parents[3].joinpath("docs/data.md").read_text(encoding="utf-8").splitlines()
    table = {line.split("|")[1].strip().strip("`"): line for line in lines if line.startswith("| `")}
    assert list(table) == list(CATALOGUE)
    for task in CATALOGUE.values():
        evaluation = next((s for s in task.evaluation_splits if task.origin.known_rows(s)), "")
        whole = task.train_split.partition("#")[0]
        for rows in map(task.origin.known_rows, (whole, evaluation)):
            assert rows is None or f"{rows:,}" in table[task.key], (task.key, rows)
        assert f"| {task.origin.licence} |" in table[task.key]
        for repository in {place.repository for place in task.origin.places if place.repository}:
            assert repository in table[task.key]
