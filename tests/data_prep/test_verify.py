"""Verification: whatever is damaged is found, by the command and by whoever trains on it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep import verify
from data_prep.check_example import Bounds, find_problem
from data_prep.streams import Stream, list_store, read_shard
from recipe.data.manifest import INDEX, LENGTHS, MANIFEST, Manifest, write_manifest
from recipe.data.store import StoreError, open_store
from recipe.data.stream_files import read_stream_files
from recipe.data.tokenizer import load_tokenizer, tokenizer_folder
from recipe.tasks.catalogue import get_task
from tests.conftest import convert_miniature
from tests.s3_server import Bucket

TASKS = ("cola", "copa", "squad", "aeslc")  # one of each family


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_folder: str) -> PreTrainedTokenizerFast:
    return load_tokenizer(tiny_tokenizer_folder)


@pytest.fixture
def store(miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    """A store of four tasks, to be damaged."""
    for task in TASKS:
        part = Path(tokenizer_folder(tokenizer), task)
        shutil.copytree(miniature_store / part, tmp_path / "store" / part)
    return tmp_path / "store"


def files_of(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


def is_damaged(store: Path) -> bool:
    return any(verify.verify_stream(stream, 0, lambda _: None).errors for stream in list_store(str(store)).streams)


def train_on(store: Path, damaged: Path, tokenizer: PreTrainedTokenizerFast, cache: Path) -> None:
    """Open the damaged stream's split of all tasks, as a run does, and read every example."""
    opened = open_store(str(store), tokenizer, TASKS, damaged.parent.name, str(cache))
    for index in range(len(opened)):
        opened[index]


def test_an_undamaged_store_is_well_and_shows_its_examples(store: Path, capsys: pytest.CaptureFixture[str]):
    before = {path: path.read_bytes() for path in files_of(store)}
    assert verify.main([str(store), "--show", "1"]) == 0
    output = capsys.readouterr().out
    assert "8 streams" in output and "0 damaged" in output
    assert all(f"{task}/{split}" in output for task in TASKS for split in ("train", "validation"))
    assert "acceptable" in output and "choice 1" in output and "answered" in output
    assert {path: path.read_bytes() for path in files_of(store)} == before


def test_labels_that_the_training_split_decides_are_well(tmp_path: Path, tiny_tokenizer_folder: str):
    convert_miniature(str(tmp_path / "store"), tiny_tokenizer_folder, ["ptb_parsing", "stsb"], rows=20)
    assert not is_damaged(tmp_path / "store")


def test_each_of_a_hundred_flipped_bytes_is_found_by_verify_and_by_training(
    store: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    rng = random.Random(0)
    files = files_of(store)
    for number in range(100):
        path = files[number % len(files)]
        content = path.read_bytes()
        place, flip = rng.randrange(len(content)), rng.randrange(1, 256)
        path.write_bytes(content[:place] + bytes([content[place] ^ flip]) + content[place + 1 :])
        assert is_damaged(store), f"verify missed byte {place} of {path} xor {flip}"
        with pytest.raises(StoreError):
            train_on(store, path, tokenizer, tmp_path / f"cache{number}")
        path.write_bytes(content)
    assert not is_damaged(store)


@pytest.mark.parametrize("damage", ["cut", "longer", "deleted"])
@pytest.mark.parametrize("name", [MANIFEST, LENGTHS, INDEX, "*.zstd"])
def test_files_cut_short_grown_or_deleted_are_found_by_verify_and_by_training(
    name: str, damage: str, store: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    (path,) = store.glob(f"*/squad/train/{name}")
    content = path.read_bytes()
    path.unlink()
    if damage != "deleted":
        path.write_bytes(content[:-1] if damage == "cut" else content + b"\n")
    assert is_damaged(store)
    with pytest.raises(StoreError):
        train_on(store, path, tokenizer, tmp_path / "cache")


def test_the_command_names_every_damaged_stream_and_the_fix(store: Path, capsys: pytest.CaptureFixture[str]):
    for task in ("cola", "squad"):
        (shard,) = store.glob(f"*/{task}/train/*.zstd")
        shard.write_bytes(shard.read_bytes()[:-1])
    assert verify.main([str(store)]) == 2
    output = capsys.readouterr()
    lines = [line for line in output.err.splitlines() if line.startswith("error:")]
    assert len(lines) == 2 and "2 damaged" in output.out
    assert "cola/train" in lines[0] and "is truncated or replaced" in lines[0] and "convert it again" in lines[0]


def test_leftovers_strange_files_and_a_missing_split_are_warnings(store: Path, capsys: pytest.CaptureFixture[str]):
    (task,) = store.glob("*/cola")
    (task / "train.partial-1").mkdir()
    (task / "train.partial-1" / "shard.00000.mds").write_bytes(b"half")
    (task / "train" / "notes.txt").write_text("?")
    shutil.rmtree(task / "validation")
    assert verify.main([str(store)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "cola/train.partial-1/shard.00000.mds: belongs to no stream" in output
    assert "unexpected file notes.txt" in output and "no cola/validation" in output


def test_a_task_of_one_class_is_a_warning(tmp_path: Path, tiny_tokenizer_folder: str, store: Path):
    convert_miniature(str(tmp_path / "one"), tiny_tokenizer_folder, ["cola"], rows=1)
    (stream, _) = list_store(str(tmp_path / "one")).streams
    warnings = verify.verify_stream(stream, 0, lambda _: None).warnings
    assert len(warnings) == 2 and "no example of" in warnings[0] and "100.0% of the examples are" in warnings[1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 1}, "says rows=1"),
        ({"tokens": 1}, "says tokens=1"),
        ({"read": 1}, "says read=1"),
        ({"labels": ("bad", "good")}, "says ('bad', 'good')"),
        ({"fingerprint": "0" * 64}, "says 00000000"),
        ({"max_length": 4}, "at most 4 are allowed"),
    ],
)
def test_a_sealed_manifest_that_does_not_fit_the_examples_is_found(
    changes: dict[str, Any], message: str, store: Path, capsys: pytest.CaptureFixture[str]
):
    (folder,) = store.glob("*/cola/train")
    manifest = Manifest.from_json((folder / MANIFEST).read_text())
    write_manifest(str(folder), Manifest(**{**vars(manifest), **changes}))
    assert verify.main([str(store)]) == 2
    assert message in capsys.readouterr().err


def test_lengths_that_do_not_fit_the_examples_are_found(store: Path):
    (folder,) = store.glob("*/cola/train")
    np.save(folder / LENGTHS, np.load(folder / LENGTHS) + 1)
    write_manifest(str(folder), Manifest.from_json((folder / MANIFEST).read_text()))
    assert is_damaged(store)


def replaced(sample: dict[str, Any], **columns: Any) -> dict[str, Any]:
    return {**sample, **columns}


@pytest.mark.parametrize(
    ("task", "damage", "problem"),
    [
        ("cola", lambda s: replaced(s, label=2), "label 2, the task has 2 classes"),
        ("cola", lambda s: replaced(s, tokens=s["tokens"] + 60000), "the vocabulary has"),
        ("cola", lambda s: replaced(s, row_lengths=s["row_lengths"] + 1), "tokens in rows of"),
        ("cola", lambda s: replaced(s, second=s["row_lengths"] + 1), "second texts start at"),
        ("cola", lambda s: {k: v for k, v in s.items() if k != "second"}, "has the columns"),
        ("copa", lambda s: replaced(s, label=-1), "label -1 of 2 choices"),
        ("squad", lambda s: replaced(s, spans=s["spans"] * 0 + (1, 2)), "outside the contexts"),
        ("squad", lambda s: replaced(s, context=s["context"] + 1000), "contexts"),
        ("squad", lambda s: replaced(s, spans=s["spans"][:, :1]), "spans of shape"),
        ("aeslc", lambda s: replaced(s, target=np.tile(s["target"], 100)), "a target of"),
    ],
)
def test_an_example_that_its_task_does_not_allow_is_described(
    task: str, damage: Callable[[dict[str, Any]], dict[str, Any]], problem: str, store: Path
):
    _assert_described(store, task, damage, problem)


@pytest.mark.parametrize(
    ("task", "damage", "problem"),
    [
        ("stsb", lambda s: replaced(s, score=np.float32("nan")), "score nan"),
        ("conll2000_chunking", lambda s: replaced(s, labels=s["labels"] + 1000), "labels from 10"),
        ("conll2000_chunking", lambda s: replaced(s, words=s["words"] + 1000), "words at [1001"),
        ("conll2000_chunking", lambda s: replaced(s, words=s["words"][::-1]), "words at"),
        ("conll2000_chunking", lambda s: replaced(s, labels=s["labels"][1:]), "labels of shape"),
    ],
)
def test_an_example_for_fine_tuning_that_its_task_does_not_allow_is_described(
    task: str,
    damage: Callable[[dict[str, Any]], dict[str, Any]],
    problem: str,
    tmp_path: Path,
    tiny_tokenizer_folder: str,
):
    convert_miniature(str(tmp_path), tiny_tokenizer_folder, [task], rows=20)
    _assert_described(tmp_path, task, damage, problem)


def _assert_described(store: Path, task: str, damage: Callable[[dict[str, Any]], dict[str, Any]], problem: str) -> None:
    stream = stream_of(store, task)
    files = read_stream_files(stream.folder, "")
    bounds = Bounds.of(files.manifest, vocabulary=1000)
    sample = next(read_shard(stream, files.shards[0]))
    assert find_problem(sample, get_task(task), bounds) is None
    assert problem in (find_problem(damage(sample), get_task(task), bounds) or "")


def stream_of(store: Path, task: str) -> Stream:
    return next(one for one in list_store(str(store)).streams if one.name == f"{task}/train")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/such/store"], "/no/such/store: no such folder"),
        (["{empty}"], "holds no streams"),
        (["{store}", "--tokenizer-folder", "bpe1-00000000"], "--tokenizer-folder bpe1-00000000: "),
        (["ftp://nowhere/store"], "cannot be listed"),
    ],
)
def test_a_store_that_is_not_there_is_one_line(
    arguments: list[str], message: str, store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "empty").mkdir()
    places = {"store": store, "empty": tmp_path / "empty"}
    assert verify.main([argument.format(**places) for argument in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("error:") == 1


def test_a_store_in_a_bucket_is_verified_and_its_damage_found(
    store: Path, bucket: Bucket, capsys: pytest.CaptureFixture[str]
):
    client = bucket.client()
    for path in files_of(store):
        client.upload_file(str(path), "bucket", f"some/shards/{path.relative_to(store)}")
    assert verify.main(["s3://bucket/some/shards"]) == 0
    assert "8 streams" in capsys.readouterr().out
    (shard,) = store.glob("*/cola/train/*.zstd")
    key = f"some/shards/{shard.relative_to(store)}"
    client.put_object(Bucket="bucket", Key=key, Body=shard.read_bytes()[:-1] + b"?")
    assert verify.main(["s3://bucket/some/shards"]) == 2
    assert f"s3://bucket/{key}: is damaged" in capsys.readouterr().err
    assert verify.main(["s3://no-such-bucket/shards"]) == 2
    assert "cannot be listed" in capsys.readouterr().err
