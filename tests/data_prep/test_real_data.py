"""Every real file converts, and nothing of it is lost unseen. Needs real data: set PREFINETUNE_DATA to its folder."""

from __future__ import annotations

import json
from pathlib import Path

from data_prep.convert import Settings, plan_units
from data_prep.encode import Limits
from data_prep.sources import parse_source
from data_prep.workers import convert_units
from recipe.data.manifest import Manifest
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import get_task


def test_every_file_has_the_rows_that_its_manifest_says(raw_data: Path):
    source, listed = parse_source(f"local:{raw_data}"), json.loads((raw_data / "MANIFEST.json").read_text())["datasets"]
    rows = {key: {split: entry["rows"] for split, entry in listed[key]["splits"].items()} for key in listed}
    found = {key: {split: source.rows(key, split) for split in rows[key]} for key in rows}
    assert found == rows


def test_json_lines_have_the_published_rows(raw_data: Path):
    source = parse_source(f"local:{raw_data}")
    keys = [key for key in ("citation_intent", "sciie", "chemprot", "hyperpartisan") if source.splits(key)]
    assert {key: {split: source.rows(key, split) for split in source.splits(key)} for key in keys} == {
        key: dict(sorted(get_task(key).origin.rows.items())) for key in keys
    }


def test_every_file_converts_row_by_row_accounted_for(raw_data: Path, tmp_path: Path, tiny_tokenizer_folder: str):
    settings = Settings(str(tmp_path / "store"), f"local:{raw_data}", Limits(max_length=256, stride=64), limit=50)
    tokenizer, source = load_tokenizer(tiny_tokenizer_folder), parse_source(settings.source)
    units = plan_units(source.tasks(), ("train", "validation"), settings, tokenizer)
    made: dict[str, Manifest] = {}
    errors = convert_units(
        units, settings, tokenizer, 1, lambda _: None, lambda unit, manifest: made.update({unit.name: manifest})
    )
    assert errors == [] and set(made) == {unit.name for unit in units}
    for name, manifest in made.items():
        assert manifest.read == min(50, source.rows(manifest.task, manifest.source_split)), name
        assert manifest.written + sum(manifest.dropped.values()) == manifest.read, name
