"""Stores that misbehave: whatever an object store does for a while, the right bytes arrive or none."""

from __future__ import annotations

import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from recipe.checkpoint import latest_checkpoint
from recipe.config import load_config
from recipe.data import remote
from recipe.data.store import ShardStore, StoreError, open_store
from recipe.data.tokenizer import load_tokenizer, tokenizer_folder
from recipe.train import train
from tests.s3_server import Bucket, RequestCount
from tests.tiny_run import ENCODER_TASKS, final_weights, start_run, training_losses

pytestmark = pytest.mark.slow

FAULTS = ("wrong bytes", "error 500", "truncated", "hang up", "slow")


class FlakyProxy(ThreadingHTTPServer):
    """Stands before an S3 server and spoils a share of the downloads, in five ways one after another.

    Small files, which are guarded by their length and by encryption on the way, in four of them; shards have hashes.
    Of a shard whose path holds ``stall_at`` only the first half arrives, and nothing after it.
    """

    daemon_threads = True

    def __init__(self, port: int, share: float, stall_at: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behind, self.share, self.stall_at = port, share, stall_at
        self.stalled, self.over = threading.Event(), threading.Event()
        self.faults: Counter[str] = Counter()
        self.random = random.Random(0)
        self.of_shards, self.of_small_files = cycle(FAULTS), cycle(FAULTS[1:])

    def draw(self, path: str) -> str | None:
        if self.stall_at is not None and self.stall_at in path and path.endswith(".zstd"):
            return "stall"
        if self.random.random() >= self.share:
            return None
        fault = next(self.of_shards if path.endswith(".zstd") else self.of_small_files)
        self.faults[fault] += 1
        return fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def proxy(self) -> FlakyProxy:
        return cast(FlakyProxy, self.server)

    def do_HEAD(self) -> None:
        self._pass_on(None)

    def do_GET(self) -> None:
        self._pass_on(self.proxy.draw(self.path.partition("?")[0]))

    def _pass_on(self, fault: str | None) -> None:
        behind = http.client.HTTPConnection("127.0.0.1", self.proxy.behind)
        behind.request(self.command, self.path, headers=dict(self.headers))
        answer = behind.getresponse()
        body = answer.read()
        if fault == "hang up":
            self.close_connection = True
            return
        if fault == "slow":
            time.sleep(0.3)
        self.send_response(500 if fault == "error 500" else answer.status)
        for name, value in answer.getheaders():
            # Without its checksum, which not every store sends: ours has to find wrong bytes by itself.
            if name.lower() not in ("transfer-encoding", "connection", "date", "server", "x-amz-checksum-crc32"):
                self.send_header(name, value)
        self.end_headers()
        if fault in ("truncated", "stall"):
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            if fault == "stall":
                self.proxy.stalled.set()
                self.proxy.over.wait()
        elif fault == "wrong bytes":
            self.wfile.write(bytes([body[0] ^ 1]) + body[1:])
        elif self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@pytest.fixture
def tokenizer(tiny_tokenizer_folder: str) -> PreTrainedTokenizerFast:
    return load_tokenizer(tiny_tokenizer_folder)


@pytest.fixture
def url(bucket: Bucket, miniature_store: str) -> str:
    """The miniature in the bucket."""
    for path in Path(miniature_store).rglob("*"):
        if path.is_file():
            bucket.client().upload_file(str(path), "bucket", f"store/{path.relative_to(miniature_store)}")
    return "s3://bucket/store"


@pytest.fixture
def flaky(bucket: Bucket, url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyProxy]:
    """Three downloads in ten are spoiled; the waits between tries are cut short."""
    monkeypatch.setattr(remote, "WAITS_S", (0.05,) * 6)
    with _between(FlakyProxy(bucket.port, share=0.3), monkeypatch) as proxy:
        yield proxy


@contextmanager
def _between(proxy: FlakyProxy, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyProxy]:
    """Meanwhile clients made from now on, also in other processes, talk to the proxy."""
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    with monkeypatch.context() as patch:
        patch.setenv("S3_ENDPOINT_URL", f"http://127.0.0.1:{proxy.server_port}")
        yield proxy
    proxy.over.set()
    proxy.shutdown()


def test_all_that_is_read_through_a_flaky_store_is_right(
    flaky: FlakyProxy, url: str, miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, caplog
):
    right = open_store(miniature_store, tokenizer, ENCODER_TASKS, "train", str(tmp_path / "right"))
    for reader in range(2):
        read = open_store(url, tokenizer, ENCODER_TASKS, "train", str(tmp_path / f"flaky-{reader}"))
        _assert_equal(read, right)
    assert set(flaky.faults) == set(FAULTS), f"every kind of fault has to have happened: {flaky.faults}"
    assert "Checksum failure" in caplog.text and "trying again in" in caplog.text


def test_opening_asks_twice_for_each_small_file_and_reading_twice_for_each_shard(
    url: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    requests = RequestCount()
    store = open_store(url, tokenizer, ENCODER_TASKS, "train", str(tmp_path))
    assert requests.count == 2 * 3 * len(ENCODER_TASKS)  # a client asks for an object's size, then for the object
    for index in range(len(store)):
        store[index]
    assert requests.count == 2 * (3 * len(ENCODER_TASKS) + len(store.shard_sizes))


def test_what_is_missing_in_a_bucket_is_named_in_the_tasks_order(
    bucket: Bucket, url: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
):
    for task in ("squad", "cb"):
        bucket.client().delete_object(
            Bucket="bucket", Key=f"store/{tokenizer_folder(tokenizer)}/{task}/train/lengths.npy"
        )
    with pytest.raises(StoreError, match=r"/cb/train/lengths\.npy: "):
        open_store(url, tokenizer, ENCODER_TASKS, "train", str(tmp_path))


def test_a_run_on_a_flaky_store_ends_with_the_same_weights(flaky: FlakyProxy, url: str, run_yaml: Path, tmp_path: Path):
    overrides = ["max_duration=3ba", "eval_interval=9ep"]
    train(load_config(run_yaml, [*overrides, "run_name=right"]))
    train(load_config(run_yaml, [*overrides, "run_name=flaky", f"data.store={url}"]))
    assert flaky.faults.total() > 0
    right, other = final_weights(tmp_path / "runs" / "right"), final_weights(tmp_path / "runs" / "flaky")
    assert all(torch.equal(right[name], other[name]) for name in right)


def test_a_run_killed_in_a_download_ends_as_if_it_had_not_been(
    bucket: Bucket, url: str, run_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Twice: in a step, and on going on, when it fetches what it had."""
    overrides = [f"data.store={url}", "save_interval=1ba", "max_duration=6ba", "eval_interval=9ep"]
    train(load_config(run_yaml, [*overrides, "run_name=whole"]))
    killed = tmp_path / "runs" / "killed"
    process = start_run(run_yaml, *overrides, "run_name=killed")
    while latest_checkpoint(killed / "checkpoints") is None:
        assert process.poll() is None, process.output
    process.kill()
    with _between(FlakyProxy(bucket.port, share=0.0, stall_at="/squad/train/"), monkeypatch) as proxy:
        process = start_run(run_yaml, *overrides, "run_name=killed")
        while not proxy.stalled.wait(0.1):
            assert process.poll() is None, process.output
        process.kill()
    train(load_config(run_yaml, [*overrides, "run_name=killed"]))
    whole, resumed = final_weights(tmp_path / "runs" / "whole"), final_weights(killed)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert training_losses(tmp_path / "runs" / "whole") == training_losses(killed)


def test_a_store_that_is_gone_for_a_moment_is_waited_for(
    bucket: Bucket, url: str, miniature_store: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, caplog
):
    right = open_store(miniature_store, tokenizer, ["cola"], "train", str(tmp_path / "right"))
    read = open_store(url, tokenizer, ["cola"], "train", str(tmp_path / "cache"))
    bucket.server.stop()

    def come_back_after_the_first_try() -> None:
        while "cola/train: cannot be fetched" not in caplog.text:
            time.sleep(0.01)
        bucket.restart()

    back = threading.Thread(target=come_back_after_the_first_try, daemon=True)
    back.start()
    _assert_equal(read, right)
    back.join()


def test_a_shard_that_is_wrong_in_the_store_is_never_read(
    bucket: Bucket, url: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote, "WAITS_S", (0.05, 0.05))
    prefix = f"store/{tokenizer_folder(tokenizer)}/cola/train/"
    (name,) = [name for name in bucket.names(prefix) if name.endswith(".zstd")]
    content = bytearray(bucket.content(prefix)[name])
    content[-9] ^= 1
    bucket.client().put_object(Bucket="bucket", Key=prefix + name, Body=bytes(content))
    store = open_store(url, tokenizer, ["cola"], "train", str(tmp_path))
    with pytest.raises(StoreError, match=rf"{name}: damaged or missing .*convert it again"):
        store[0]


def _assert_equal(one: ShardStore, other: ShardStore) -> None:
    assert len(one) == len(other)
    for index in range(len(one)):
        for column, value in other[index].items():
            assert np.array_equal(one[index][column], value)
