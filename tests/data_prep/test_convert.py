"""Conversion: deterministic, resumable, and nothing half-written is ever published."""

from __future__ import annotations

import dataclasses
import resource
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.convert import ConversionError, Settings, Unit, convert_part, plan_units
from data_prep.encode import Limits
from data_prep.examples import InvalidData
from data_prep.finish import find_finished, find_parts
from data_prep.folder import WriteError
from data_prep.sources import SourceError
from data_prep.workers import convert_units
from recipe.data.manifest import Manifest
from recipe.data.tokenizer import load_tokenizer
from tests.conftest import content
from tests.processes import Forked, run_forked

LIMITS = Limits(max_length=64, max_target_length=16, stride=16)
TASKS = ("cola", "copa")


@pytest.fixture
def tokenizer(tiny_tokenizer_folder: str) -> PreTrainedTokenizerFast:
    return load_tokenizer(tiny_tokenizer_folder)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """CoLA with one unusable row in each split."""
    folder = tmp_path / "raw"
    write_cola(folder, "train", [f"text number {i}" for i in range(40)], [*(i % 2 for i in range(39)), -1])
    write_cola(folder, "validation", ["good", "bad", " "], [1, 0, 1])
    return folder


def write_cola(folder: Path, split: str, sentences: Sequence[str], labels: Sequence[int]) -> None:
    (folder / "cola").mkdir(parents=True, exist_ok=True)
    table = pa.table({"sentence": sentences, "label": labels, "idx": range(len(labels))})
    pq.write_table(table, folder / "cola" / f"{split}.parquet")


def unit_of(settings: Settings, tokenizer: PreTrainedTokenizerFast, split: str = "train") -> Unit:
    (unit,) = plan_units(["cola"], [split], settings, tokenizer)
    return unit


def convert_one(settings: Settings, tokenizer: PreTrainedTokenizerFast, overwrite: bool = False) -> Manifest:
    made: list[Manifest] = []
    units = [unit_of(settings, tokenizer)]
    errors = convert_units(
        units, settings, tokenizer, 1, lambda _: None, lambda _, manifest: made.append(manifest), overwrite=overwrite
    )
    for error in errors:
        raise error
    (manifest,) = made
    return manifest


def convert_tasks(store: Path, tokenizer: PreTrainedTokenizerFast, workers: int) -> None:
    settings = Settings(str(store), "miniature", LIMITS, limit=30)
    units = plan_units(TASKS, ("train", "validation"), settings, tokenizer)
    assert convert_units(units, settings, tokenizer, workers, lambda _: None, lambda *_: None) == []


def test_a_manifest_counts_what_was_read_written_and_dropped(
    raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    manifest = convert_one(Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS), tokenizer)
    assert (manifest.read, manifest.written, manifest.rows) == (40, 39, 39)
    assert manifest.dropped == {"no gold label": 1}
    assert manifest.labels == ("unacceptable", "acceptable")
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_the_same_bytes_whatever_the_number_of_workers(tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    convert_tasks(tmp_path / "one", tokenizer, workers=1)
    convert_tasks(tmp_path / "two", tokenizer, workers=2)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert len(content(tmp_path / "one")) == 2 * 2 * 4  # tasks, splits; shard, index, lengths, manifest


def test_a_limit_takes_rows_from_the_whole_split(raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    write_cola(raw, "train", ["text"] * 1000, [0] * 500 + [1] * 500)
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS, limit=10)
    assert unit_of(settings, tokenizer).rows == convert_one(settings, tokenizer).read == 10
    from recipe.data.store import open_store

    store = open_store(settings.store, tokenizer, ["cola"], "train", str(tmp_path / "cache"))
    assert [store[i]["label"] for i in range(10)] == [0] * 5 + [1] * 5


@pytest.mark.parametrize(
    "change",
    [{"limits": Limits(max_length=32, stride=8)}, {"limit": 5}, {}],
    ids=["lengths", "limit", "nothing"],
)
def test_a_finished_stream_is_left_alone_unless_its_settings_change(
    change: dict, raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS)
    manifest = convert_one(settings, tokenizer)
    changed = dataclasses.replace(settings, **change)
    assert find_finished(unit_of(changed, tokenizer)) == (None if change else manifest)


def test_changed_raw_data_is_converted_again(raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS)
    convert_one(settings, tokenizer)
    write_cola(raw, "train", ["another text"], [1])
    assert find_finished(unit_of(settings, tokenizer)) is None
    assert convert_one(settings, tokenizer).written == 1
    assert find_finished(unit_of(settings, tokenizer)) is not None


def test_a_failed_conversion_leaves_the_old_stream_and_nothing_else(
    raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS)
    convert_one(settings, tokenizer)
    before = content(tmp_path / "store")
    write_cola(raw, "train", ["fine", "wrong label"], [1, 7])
    with pytest.raises(InvalidData, match=r"cola/train, row 1 \(the first is 0\): .*label 7"):
        convert_one(settings, tokenizer)
    assert content(tmp_path / "store") == before
    assert [path.name for path in Path(unit_of(settings, tokenizer).place).parent.iterdir()] == ["train"]


def test_parts_that_are_finished_are_not_converted_again(raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    write_cola(raw, "train", ["text"] * 45_000, [0] * 45_000)
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS, limit=450)
    unit = unit_of(settings, tokenizer)
    unit.open().begin()
    convert_part(unit, 1, settings, tokenizer, lambda _: None)
    assert list(unit.pieces) == [0, 1, 2] and list(find_parts(unit)) == [1]
    record = next((tmp_path / "store").rglob("part-00001.00000.mds.zstd"))
    made = record.stat().st_ino

    reports: list[int] = []
    assert convert_units([unit], settings, tokenizer, 1, reports.append, lambda *_: None) == []
    assert sum(reports) == 450 and reports[0] == 200  # the first is of what was there
    assert (Path(unit.place) / record.name).stat().st_ino == made


def test_a_damaged_record_or_a_lost_shard_is_converted_again(
    raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    write_cola(raw, "train", ["text"] * 60_000, [0] * 60_000)
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS, limit=60)
    unit = unit_of(settings, tokenizer)
    folder = Path(f"{unit.place}.partial-{unit.settings[:8]}")
    unit.open().begin()
    for number in unit.pieces:
        convert_part(unit, number, settings, tokenizer, lambda _: None)
    assert list(find_parts(unit)) == [0, 1, 2]
    (folder / "part-00000.json").write_text("{}")
    (folder / "part-00002.00000.mds.zstd").unlink()
    assert list(find_parts(unit)) == [1]


def test_parts_with_other_settings_are_swept_away(raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS)
    left = unit_of(dataclasses.replace(settings, limit=5), tokenizer)
    left.open().begin()
    assert [path.name for path in Path(left.place).parent.iterdir()] != ["train"]
    convert_one(settings, tokenizer)
    assert [path.name for path in Path(left.place).parent.iterdir()] == ["train"]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_run_killed_while_publishing_is_finished_by_the_next(
    moment: str, raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    """All files are there; the process died before the new stream's renaming, or before the old one's removal."""
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS)
    manifest = convert_one(settings, tokenizer)
    unit = unit_of(settings, tokenizer)
    place, before = Path(unit.place), content(tmp_path / "store")
    if moment == "before":
        place.rename(f"{place}.partial-{unit.settings[:8]}")
        Path(f"{place}.partial-{unit.settings[:8]}", "part-00000.json").write_text("{}")
    Path(f"{place}.partial-replaced").mkdir()
    assert find_finished(unit) == manifest
    assert content(tmp_path / "store") == before and [path.name for path in place.parent.iterdir()] == ["train"]


def test_converting_again_when_told_to_gives_the_same_bytes(
    raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS)
    convert_one(settings, tokenizer)
    (manifest,) = tmp_path.glob("store/*/cola/train/manifest.json")
    first, before = manifest.stat().st_ino, content(tmp_path / "store")
    convert_one(settings, tokenizer, overwrite=True)
    assert content(tmp_path / "store") == before and manifest.stat().st_ino != first


def test_nothing_usable_is_an_error_that_counts_the_reasons(
    raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast
):
    write_cola(raw, "train", ["text", "text"], [-1, -1])
    with pytest.raises(ConversionError, match=r"cola/train: not one usable example in train \(no gold label: 2\)"):
        convert_one(Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS), tokenizer)


def test_a_store_that_cannot_be_written_is_named(raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(WriteError, match=r"file.*cannot write the store"):
        convert_one(Settings(str(tmp_path / "file"), f"local:{raw}", LIMITS), tokenizer)


@pytest.mark.slow
def test_a_full_disk_is_one_line_with_the_path_and_the_next_run_goes_on(tmp_path: Path, tiny_tokenizer_folder: str):
    """The limit of a file's size stands in for the disk's: the system refuses the write in the same way."""
    raw, store = tmp_path / "raw", tmp_path / "store"
    write_cola(raw, "train", [f"text number {i}" for i in range(40)], [i % 2 for i in range(40)])
    write_cola(raw, "validation", [f"text {i} {hash(str(i))}" for i in range(2000)], [i % 2 for i in range(2000)])
    options = f"--source local:{raw} --tokenizer {tiny_tokenizer_folder} --workers 1"
    full = Forked("data_prep", str(store), *options.split())
    resource.prlimit(full.pid, resource.RLIMIT_FSIZE, (16_384, 16_384))
    assert full.wait() == 2, full.output
    assert "cola/validation.partial-" in full.output and "cannot write the store: File too large" in full.output
    assert "1 streams converted, 1 already there" in run_forked("data_prep", str(store), *options.split())


def test_one_failing_unit_does_not_stop_the_others(raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    write_cola(raw, "train", ["wrong label"] * 50, [7] * 50)
    settings = Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS)
    units = [unit_of(settings, tokenizer, split) for split in ("train", "validation")]
    done: list[str] = []
    errors = convert_units(units, settings, tokenizer, 1, lambda _: None, lambda unit, _: done.append(unit.name))
    assert [type(error) for error in errors] == [InvalidData] and done == ["cola/validation"]


def test_a_missing_split_names_the_ones_that_could_serve(raw: Path, tmp_path: Path, tokenizer: PreTrainedTokenizerFast):
    (raw / "cola" / "validation.parquet").unlink()
    with pytest.raises(SourceError, match=r"cola: .*for validation \(expected validation, it has train\)"):
        unit_of(Settings(str(tmp_path / "store"), f"local:{raw}", LIMITS), tokenizer, "validation")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_conversion_is_taken_up_as_if_nothing_had_happened(
    workers: int, tmp_path: Path, tiny_tokenizer_folder: str
):
    raw = tmp_path / "raw"
    for split, rows in (("train", 45_000), ("validation", 100)):
        write_cola(raw, split, [f"text number {i} of many" for i in range(rows)], [i % 2 for i in range(rows)])

    options = ["--source", f"local:{raw}", "--tokenizer", tiny_tokenizer_folder, "--workers", str(workers)]

    store = tmp_path / "store"
    killed = Forked("data_prep", str(store), *options)
    while not list(store.glob("*/cola/train.partial-*/part-*.json")):
        assert killed.poll() is None, killed.output
        time.sleep(0.01)
    killed.kill()
    assert not list(store.glob("*/cola/train")), "the conversion was over before it could be killed"

    for folder in (store, tmp_path / "undisturbed"):
        run_forked("data_prep", str(folder), *options)
    assert content(store) == content(tmp_path / "undisturbed")
