"""The data card: everything in the store is in it, beside the paper's numbers, and the page needs no other file."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from data_prep import card
from recipe.data.manifest import MANIFEST, Manifest
from recipe.tasks import get_task
from tests.tiny_run import MINIATURE_TASKS


@pytest.fixture(scope="module")
def folder(miniature_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("card")
    assert card.main([miniature_store, "--out", str(out)]) == 0
    return out


def test_every_task_has_its_counts_lengths_targets_source_and_licence(folder: Path):
    text = (folder / "card.md").read_text()
    for task in MINIATURE_TASKS:
        assert re.search(rf"^\| {task} \| train \| \d+ \|", text, re.MULTILINE), task
        assert re.search(rf"^\| {task} \| validation \| \d+ \|", text, re.MULTILINE), task
        origin = get_task(task).origin
        assert f"| {task} | `{origin.places[0].repository}` : `{origin.places[0].config}` | miniature |" in text
        assert f"| {origin.licence} |" in text
    assert re.search(r"\| copa \| train \|.* choice \d \d\d\.\d %", text)


def test_the_papers_table_stands_beside_the_stores_counts(folder: Path, miniature_store: str):
    paths = Path(miniature_store).glob(f"*/*/train/{MANIFEST}")
    written = {m.task: m.written for m in (Manifest.from_json(path.read_text()) for path in paths)}
    # The paper counts COPA as classification.
    classification = sum(written[task] for task in ("cola", "mnli", "cb", "copa"))
    text = (folder / "card.md").read_text()
    assert f"| Classification | 26 | 2.9M | 4 | {classification:,} |" in text
    assert f"| CommonSense | 10 | 360K | 1 | {written['arc_easy']:,} |" in text
    assert f"| **Total** | 46 | 4.83M | {len(MINIATURE_TASKS)} | {sum(written.values()):,} |" in text
    assert "`natural_questions`" in text.split("Not in this store:")[1].splitlines()[0]


def test_the_page_has_its_tables_and_pictures_inside(folder: Path):
    page = (folder / "card.html").read_text()
    sources = re.findall(r'src="([^"]{0,30})', page)
    assert len(sources) == 2 and all(source.startswith("data:image/png;base64,") for source in sources)
    assert page.count("<table>") == 6 and "http" not in page.replace("https://", "http").split("<body>")[0]


def test_a_damaged_store_has_no_card(tmp_path: Path, miniature_store: str, capsys: pytest.CaptureFixture[str]):
    (manifest,) = Path(miniature_store).glob("*/cola/train/manifest.json")
    copy = tmp_path / "store" / manifest.relative_to(miniature_store)
    copy.parent.mkdir(parents=True)
    copy.write_bytes(manifest.read_bytes())
    assert card.main([str(tmp_path / "store"), "--out", str(tmp_path / "card")]) == 2
    assert "lengths.npy: no such file" in capsys.readouterr().err
    assert not (tmp_path / "card").exists()
