"""Test splits: converted beside the others when asked for, and honest where a benchmark withholds the labels."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep import __main__ as cli
from data_prep.miniature import generate
from recipe.data.manifest import Manifest
from recipe.data.store import StoreError, check_labelled, open_store
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import get_task, source_splits
from tests.conftest import content, write_benchmark

BENCHMARK_TASKS = ("cola", "mnli", "multirc", "copa", "record", "stsb")
ROWS = 6


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Six tasks in the Hub's layout, whose test rows are those of the validation split without labels."""
    write_benchmark(tmp_path / "raw", BENCHMARK_TASKS, ROWS)
    return tmp_path / "raw"


def convert(store: Path, source: Path, tokenizer: str, *options: str) -> int:
    limits = ["--max-length", "96", "--workers", "1"]
    return cli.main([str(store), "--source", f"local:{source}", "--tokenizer", tokenizer, *limits, *options])


def as_written_before_test_splits(manifest: str) -> str:
    values = {name: value for name, value in json.loads(manifest).items() if name not in ("unlabelled", "seal")}
    seal = hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
    return json.dumps({**values, "seal": seal}, indent=2, sort_keys=True) + "\n"


def test_a_test_split_joins_an_older_store_without_touching_what_is_there(
    raw: Path, tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
):
    store = tmp_path / "store"
    assert convert(store, raw, tiny_tokenizer_folder, "--tasks", ",".join(BENCHMARK_TASKS)) == 0
    for path in store.rglob("manifest.json"):
        path.write_text(as_written_before_test_splits(path.read_text()))
    before = content(store)
    tasks = ["--tasks", ",".join((*BENCHMARK_TASKS, "squad"))]  # SQuAD has no test split
    assert convert(store, raw, tiny_tokenizer_folder, *tasks, "--splits", "test") == 0
    assert {path: text for path, text in content(store).items() if "/test/" not in path} == before
    assert "not in the source: squad/test" in capsys.readouterr().err
    assert convert(store, raw, tiny_tokenizer_folder, *tasks[:1], ",".join(BENCHMARK_TASKS)) == 0
    assert f"0 streams converted, {2 * len(BENCHMARK_TASKS)} already there" in capsys.readouterr().out
    assert cli.main(["verify", str(store)]) == 0
    assert "label withheld 100.0 %" in " ".join(capsys.readouterr().out.split())
    assert cli.main(["card", str(store), "--out", str(tmp_path / "card")]) == 0
    assert "| copa | test | 6 |" in (tmp_path / "card" / "card.md").read_text()


def test_withheld_labels_are_none_and_all_else_is_as_in_a_labelled_split(
    raw: Path, tmp_path: Path, tiny_tokenizer_folder: str
):
    store, tokenizer = tmp_path / "store", load_tokenizer(tiny_tokenizer_folder)
    options = ["--tasks", ",".join(BENCHMARK_TASKS), "--splits", "validation,test"]
    assert convert(store, raw, tiny_tokenizer_folder, *options) == 0
    for key in BENCHMARK_TASKS:
        labelled, hidden = (
            open_store(str(store), tokenizer, [key], split, str(tmp_path / f"{key}-{split}"))
            for split in ("validation", "test")
        )
        assert hidden.manifests[0][0].unlabelled == len(hidden) == len(labelled) and not hidden.manifests[0][0].dropped
        numbers = [row["idx"] for own in source_splits(get_task(key).test_split or "") for row in read(raw, key, own)]
        for index, number in enumerate(numbers):
            told, untold = labelled[index], hidden[index]
            assert untold["reference"].pop("index") == number
            check_withheld(told, untold)
            for name in untold.keys() - {"label", "score", "spans", "reference"}:
                assert np.array_equal(told[name], untold[name]), (key, name)
            assert told["reference"].keys() == untold["reference"].keys()
            assert told["reference"].get("group") == untold["reference"].get("group")
        with pytest.raises(StoreError, match=rf"{key}/test: has no labels"):
            check_labelled(str(store), tokenizer, [key], "test")


def read(raw: Path, key: str, split: str) -> list[dict[str, Any]]:
    return pq.read_table(raw / key / f"{split}.parquet").to_pylist()


def check_withheld(told: dict[str, Any], untold: dict[str, Any]) -> None:
    if "label" in told:
        assert told["label"] >= 0 and untold["label"] == -1
    elif "score" in told:
        assert told["score"] >= 0 and np.isnan(untold["score"])
    else:
        assert told["reference"]["answers"] and untold["reference"]["answers"] is None
        assert told["spans"].any() and not untold["spans"].any()


def test_the_published_test_file_of_an_end_task_keeps_every_label(
    raw_data: Path, tmp_path: Path, tiny_tokenizer_folder: str
):
    path = raw_data / "tartan" / "citation_intent" / "test.jsonl"
    if not path.is_file():
        pytest.skip(f"no {path}")
    options = ["--tasks", "citation_intent", "--splits", "test"]
    assert convert(tmp_path / "store", raw_data, tiny_tokenizer_folder, *options) == 0
    tokenizer = load_tokenizer(tiny_tokenizer_folder)
    store = open_store(str(tmp_path / "store"), tokenizer, ["citation_intent"], "test", str(tmp_path / "cache"))
    names = [json.loads(line)["label"] for line in path.read_text(encoding="utf-8").splitlines()]
    labels = get_task("citation_intent").labels
    assert [labels[store[index]["label"]] for index in range(len(store))] == names and len(names) == 139
    assert len(Counter(names)) == len(labels) and store.manifests[0][0].unlabelled == 0
    check_labelled(str(tmp_path / "store"), tokenizer, ["citation_intent"], "test")


def test_a_store_without_the_split_says_how_to_add_it(raw: Path, tmp_path: Path, tiny_tokenizer_folder: str):
    store, tokenizer = tmp_path / "store", load_tokenizer(tiny_tokenizer_folder)
    assert convert(store, raw, tiny_tokenizer_folder, "--tasks", "cola", "--splits", "train") == 0
    with pytest.raises(StoreError, match=r"no test split of cola .*data_prep .* --splits test --tasks cola"):
        open_store(str(store), tokenizer, ["cola"], "test", str(tmp_path / "cache"))
    with pytest.raises(StoreError, match="squad: the catalogue knows no test split"):
        open_store(str(store), tokenizer, ["squad"], "test", str(tmp_path / "cache"))


def test_nothing_is_converted_of_tasks_without_the_split(
    raw: Path, tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
):
    assert convert(tmp_path / "store", raw, tiny_tokenizer_folder, "--tasks", "squad", "--splits", "test") == 2
    assert "--splits test: none of squad has that split in the source" in capsys.readouterr().err


def test_pairs_without_a_majority_are_kept_in_a_test_split_alone(tmp_path: Path, tiny_tokenizer_folder: str):
    folder = tmp_path / "raw" / "snli"
    folder.mkdir(parents=True)
    rows = generate("snli", "validation", 60)
    labels = pa.array([-1 if n == 7 else n % 3 for n in range(60)], rows.schema.field("label").type)
    for split in ("train", "validation", "test"):
        pq.write_table(rows.set_column(rows.column_names.index("label"), "label", labels), folder / f"{split}.parquet")
    splits = "train,validation,test"
    assert convert(tmp_path / "store", folder.parent, tiny_tokenizer_folder, "--tasks", "snli", "--splits", splits) == 0
    counts = {
        path.parent.name: Manifest.from_json(path.read_text()) for path in (tmp_path / "store").rglob("manifest.json")
    }
    assert {split: (one.written, one.unlabelled) for split, one in counts.items()} == {
        "train": (59, 0),
        "validation": (59, 0),
        "test": (60, 1),
    }
