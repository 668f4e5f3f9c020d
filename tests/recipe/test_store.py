"""The shard store's reader: what it gives back, and what it says about stores that are not right."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import resource
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.data.manifest import INDEX, LENGTHS, MANIFEST, Manifest, columns, write_manifest
from recipe.data.store import ShardStore, StoreError, open_store
from recipe.data.stream_files import seal_stream
from recipe.data.tokenizer import load_tokenizer, tokenizer_folder
from recipe.tasks.catalogue import UnknownTask
from tests.conftest import convert_miniature
from tests.processes import Forked

TASKS = ["cola", "copa", "squad", "aeslc"]


@pytest.fixture(scope="module")
def tokenizer(tiny_tokenizer_folder: str) -> PreTrainedTokenizerFast:
    return load_tokenizer(tiny_tokenizer_folder)


@pytest.fixture
def stream(miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Path:
    """CoLA's training stream in a store of its own, to be damaged."""
    part = Path(tokenizer_folder(tokenizer), "cola", "train")
    return Path(shutil.copytree(miniature_store / part, tmp_path / "store" / part))


@pytest.fixture
def open_stream(stream: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> Callable[[], ShardStore]:
    return lambda: open_store(str(tmp_path / "store"), tokenizer, ["cola"], "train", str(tmp_path / "cache"))


def edit(stream: Path, **changes: Any) -> None:
    """Give the stream another manifest that fits its other files."""
    write_manifest(str(stream), dataclasses.replace(Manifest.from_json((stream / MANIFEST).read_text()), **changes))


@pytest.mark.parametrize("split", ["train", "validation"])
def test_every_example_has_its_familys_columns_and_the_lengths_that_were_promised(
    split: str, miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    store = open_store(miniature_store, tokenizer, TASKS, split, str(tmp_path))
    assert [task.key for task in store.tasks] == TASKS
    assert len(store) == len(store.task_of) == len(store.lengths) == sum(m.written for (m,) in store.manifests)
    for i in range(len(store)):
        task, example = store.tasks[store.task_of[i]], store[i]
        assert set(example) == set(columns(task.family, split, "uint16"))
        lengths = example["row_lengths"]
        assert example["tokens"].shape == (lengths.sum(),)
        assert store.lengths[i].tolist() == [len(lengths), lengths.max(), len(example.get("target", ()))]


def test_stored_tokens_decode_to_the_text_and_the_reference(
    miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    store = open_store(miniature_store, tokenizer, ["squad"], "validation", str(tmp_path))
    answered = 0
    for i in range(len(store)):
        example = store[i]
        starts = np.concatenate([[0], example["row_lengths"].cumsum()[:-1]])
        for start, (first, last) in zip(starts, example["spans"], strict=True):
            if last:
                answered += 1
                left, right = example["offsets"][start + first][0], example["offsets"][start + last][1]
                assert example["reference"]["context"][left:right] in example["reference"]["answers"]
    assert answered


def test_relative_paths_and_negative_indices_work(
    miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(Path(miniature_store).parent)
    store = open_store(Path(miniature_store).name, tokenizer, ["cb"], "train", str(tmp_path))
    assert (store[-1]["tokens"] == store[len(store) - 1]["tokens"]).all()
    with pytest.raises(IndexError):
        store[len(store)]


def test_reading_writes_nothing_into_the_store(
    miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    before = sorted(Path(miniature_store).rglob("*"))
    assert open_store(miniature_store, tokenizer, ["cb"], "train", str(tmp_path))[0]
    assert sorted(Path(miniature_store).rglob("*")) == before


def test_a_flipped_byte_names_the_file_and_the_fix_however_often_it_is_read(
    stream: Path, open_stream: Callable[[], ShardStore]
):
    (shard,) = stream.glob("*.zstd")
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    store = open_stream()
    for _ in range(2):
        with pytest.raises(StoreError, match=rf"{shard}: damaged or missing .*delete {stream} and convert it again"):
            store[0]


def test_a_truncated_shard_is_found_when_the_store_is_opened(stream: Path, open_stream: Callable[[], ShardStore]):
    (shard,) = stream.glob("*.zstd")
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(StoreError, match=rf"{shard}: is truncated or missing .*delete {stream} and convert it again"):
        open_stream()


def test_a_shard_that_vanishes_after_opening_is_named(stream: Path, open_stream: Callable[[], ShardStore]):
    store = open_stream()
    (shard,) = stream.glob("*.zstd")
    shard.unlink()
    with pytest.raises(StoreError, match=rf"{shard}: damaged or missing"):
        store[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint": "0" * 64}, "was made with another tokenizer"),
        ({"labels": ("bad", "good")}, "has the labels bad, good, the catalogue's cola has unacceptable, acceptable"),
        ({"written": 9}, "is incomplete: manifest.json says 9 examples, index.json 64, lengths.npy 64"),
        ({"version": 99}, "is of format version 99, this code reads 2"),
        ({"task": "cb"}, r"holds cb \(classification\), not cola"),
    ],
)
def test_a_manifest_that_contradicts_is_refused_with_the_fix(
    changes: dict[str, Any], message: str, stream: Path, open_stream: Callable[[], ShardStore]
):
    edit(stream, **changes)
    with pytest.raises(StoreError, match=rf"{stream}: {message}.*; delete {stream} and convert it again: python -m"):
        open_stream()


@pytest.mark.parametrize("name", [MANIFEST, LENGTHS, INDEX])
@pytest.mark.parametrize("damage", ["missing", "garbage", "empty", "one more space"])
def test_a_small_file_missing_or_damaged_is_one_clear_line(
    name: str, damage: str, stream: Path, open_stream: Callable[[], ShardStore]
):
    content = (stream / name).read_bytes()
    (stream / name).unlink()
    if damage != "missing":
        (stream / name).write_bytes({"garbage": b"\x00garbage", "empty": b""}.get(damage, content + b" "))
    with pytest.raises(StoreError, match=rf"{stream}.*convert it again: python -m data_prep"):
        open_stream()


def test_a_stream_without_examples_is_refused(stream: Path, open_stream: Callable[[], ShardStore]):
    (stream / INDEX).write_text(json.dumps({"version": 2, "shards": []}))
    np.save(stream / LENGTHS, np.zeros((0, 3), np.int32))
    edit(stream, written=0)
    with pytest.raises(StoreError, match=f"{stream}: has no examples"):
        open_stream()


def test_lengths_that_the_disk_has_no_room_for_are_an_error_and_not_sealed(stream: Path):
    """The limit of a file's size stands in for the disk's: the system refuses the write in the same way."""
    manifest = Manifest.from_json((stream / MANIFEST).read_text())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            seal_stream(str(stream), np.zeros((300, 3), np.int32), manifest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_missing_store_gives_the_command_that_makes_it(tokenizer: PreTrainedTokenizerFast, tmp_path: Path):
    with pytest.raises(StoreError, match=rf"{tmp_path}/none: no such folder; .*python -m data_prep {tmp_path}/none "):
        open_store(f"{tmp_path}/none", tokenizer, ["cola"], "train", str(tmp_path / "cache"))


def test_a_missing_task_names_those_there_are_and_the_command(
    stream: Path, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    with pytest.raises(StoreError, match=r"no train split of cb, wic \(it has cola\); convert: .* --tasks cb,wic"):
        open_store(str(tmp_path / "store"), tokenizer, ["cb", "cola", "wic"], "train", str(tmp_path / "cache"))
    with pytest.raises(UnknownTask, match="did you mean 'cola'"):
        open_store(str(tmp_path / "store"), tokenizer, ["colla"], "train", str(tmp_path / "cache"))


def test_another_tokenizer_names_the_folders_there_are(
    stream: Path, tiny_tokenizer_folder: str, open_stream: Callable[[], ShardStore], tmp_path: Path
):
    other = load_tokenizer(tiny_tokenizer_folder)
    other.add_tokens(["wholly-new"])
    with pytest.raises(StoreError, match=rf"made with another tokenizer: it has {stream.parents[1].name}, this one's"):
        open_store(str(tmp_path / "store"), other, ["cola"], "train", str(tmp_path / "cache"))


def test_a_store_converted_again_never_meets_its_old_cache(
    stream: Path, open_stream: Callable[[], ShardStore], miniature_store: str, tokenizer: PreTrainedTokenizerFast
):
    old = open_stream()[0]["tokens"].tolist()
    validation = Path(miniature_store, tokenizer_folder(tokenizer), "cola", "validation")
    shutil.rmtree(stream)
    shutil.copytree(validation, stream)
    edit(stream, split="train")
    assert open_stream()[0]["tokens"].tolist() != old


OPEN_OFTEN = """
import sys, time
from pathlib import Path
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer
folder, tokenizer, cache = sys.argv[1:]
tokenizer = load_tokenizer(tokenizer)
Path(cache).mkdir()
while len(list(Path(cache).parent.glob("cache-*"))) < 2:
    time.sleep(0.001)
for n in range(8):
    assert len(open_store(folder, tokenizer, ["cola"], "train", f"{cache}/{n}")[0]["tokens"])
"""


def test_jobs_that_open_stores_at_the_same_time_do_not_disturb_each_other(
    stream: Path, tiny_tokenizer_folder: str, tmp_path: Path
):
    script = tmp_path / "open_often.py"
    script.write_text(OPEN_OFTEN)
    options = [str(tmp_path / "store"), tiny_tokenizer_folder]
    jobs = [Forked(str(script), *options, str(tmp_path / f"cache-{n}")) for n in range(2)]
    assert [job.wait() for job in jobs] == [0, 0], "\n".join(job.output for job in jobs)


def test_a_bounded_cache_stays_within_its_limit_and_gives_the_same_examples(
    tokenizer: PreTrainedTokenizerFast, tiny_tokenizer_folder: str, tmp_path: Path
):
    tasks = ["cola", "sst2", "rte", "mrpc", "qnli", "wnli", "trec", "cb", "snli", "scitail", "wiki_qa", "hans"]
    convert_miniature(str(tmp_path / "store"), tiny_tokenizer_folder, tasks, rows=60)
    whole = open_store(str(tmp_path / "store"), tokenizer, tasks, "train", str(tmp_path / "whole"))
    indices = np.random.default_rng(0).permutation(len(whole))
    right = [whole[index] for index in indices]
    limit = 6 * max(path.stat().st_size for path in tmp_path.glob("whole/*/*/*.mds"))
    assert _size(tmp_path / "whole") > 1.2 * limit

    bounded = open_store(str(tmp_path / "store"), tokenizer, tasks, "train", str(tmp_path / "bounded"), f"{limit}b")
    for index, example in zip(indices, right, strict=True):
        for column, value in example.items():
            assert np.array_equal(bounded[index][column], value)
        assert _size(tmp_path / "bounded") <= limit


def test_a_store_that_nobody_uses_any_more_holds_no_files(
    miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where Streaming has its locks

    def read_once() -> None:
        store = open_store(miniature_store, tokenizer, TASKS, "train", str(tmp_path / "cache"))
        loader = DataLoader(cast(Dataset[Any], store), batch_size=None, num_workers=1)
        next(iter(loader))

    def in_use() -> list[int]:
        gc.collect()
        return [len(os.listdir(folder)) for folder in ("/dev/fd", tempfile.gettempdir())]

    read_once()
    before = in_use()
    for _ in range(5):
        read_once()
    assert in_use() == before

    kept = open_store(miniature_store, tokenizer, TASKS, "train", str(tmp_path / "kept"))
    read_once()
    assert all(kept[i] for i in range(len(kept)))


def test_a_cache_too_small_for_the_store_names_the_key(
    miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    with pytest.raises(StoreError, match=r"data\.cache_limit=1kb: is too little"):
        open_store(miniature_store, tokenizer, TASKS, "train", str(tmp_path), "1kb")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
