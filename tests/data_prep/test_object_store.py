"""Conversion straight into a bucket: an S3 server on loopback, killed runs, cut connections."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import pytest

from data_prep import __main__ as cli
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer
from tests.conftest import write_miniature
from tests.processes import Forked
from tests.s3_server import Bucket, RequestCount, forget_credentials

pytestmark = pytest.mark.slow

TASKS = ("cola", "rte", "copa", "squad", "xsum", "sciq")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six tasks of every family, a few hundred rows each."""
    root = tmp_path_factory.mktemp("raw")
    write_miniature(root, TASKS, train=300, evaluation=40)
    return f"local:{root}"


def arguments(store: str, source: str, tokenizer: str, *more: str) -> list[str]:
    return [store, "--source", source, "--tokenizer", tokenizer, "--max-length", "64", "--workers", "1", *more]


def test_ten_kills_leave_no_trace(bucket: Bucket, raw: str, tiny_tokenizer_folder: str):
    """SIGKILL after a random number of requests, start again: the same objects as without, and not one more."""
    requests = RequestCount()

    def start(prefix: str) -> Forked:
        return Forked("data_prep", *arguments(f"s3://bucket/{prefix}", raw, tiny_tokenizer_folder))

    start("undisturbed").wait()
    needed = requests.count
    expected = bucket.content("undisturbed/")
    assert len(expected) == len(TASKS) * 2 * 4  # splits; shard, index, lengths, manifest

    rng = random.Random(3)
    seen: list[int] = []
    for _ in range(10):
        last = requests.count + rng.randint(1, needed // 2)
        process = start("killed")
        while requests.count < last:
            assert process.poll() is None, "the conversion was over before it could be killed ten times"
            time.sleep(0.001)
        process.kill()
        seen.append(len(bucket.names("killed/")))
    assert seen[0] < seen[-1], f"objects after each kill: {seen}"
    start("killed").wait()
    assert bucket.content("killed/") == expected


def test_training_reads_it_and_other_settings_replace_it(
    bucket: Bucket, raw: str, tiny_tokenizer_folder: str, tmp_path: Path
):
    store, tokenizer = "s3://bucket/store/", load_tokenizer(tiny_tokenizer_folder)
    chosen = ("--tasks", "copa,squad")
    assert cli.main(arguments(store, raw, tiny_tokenizer_folder, *chosen)) == 0
    opened = open_store(store, tokenizer, ["copa", "squad"], "train", str(tmp_path / "cache"))
    assert len(opened) == 600
    assert all(len(opened[n]["tokens"]) == opened[n]["row_lengths"].sum() for n in range(0, 600, 50))

    assert cli.main(arguments(store, raw, tiny_tokenizer_folder, *chosen, "--limit", "7")) == 0
    assert cli.main(arguments("s3://bucket/fresh", raw, tiny_tokenizer_folder, *chosen, "--limit", "7")) == 0
    assert bucket.content("store/") == bucket.content("fresh/")


def test_what_is_wrong_with_a_bucket_is_one_line(
    bucket: Bucket,
    raw: str,
    tiny_tokenizer_folder: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    def fails(store: str, message: str) -> None:
        assert cli.main(arguments(store, raw, tiny_tokenizer_folder, "--tasks", "copa")) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error

    fails("s3://missing/store", "there is no such bucket")
    fails("ftp://bucket/store", "ftp://bucket/store: expected a folder or s3://")
    bucket.server.stop()
    fails("s3://bucket/store", "check the address and the connection")
    bucket.restart()
    forget_credentials(monkeypatch)
    fails("s3://bucket/store", "give credentials where")


def test_a_run_whose_server_goes_away_is_taken_up_by_the_next(
    bucket: Bucket, raw: str, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
):
    command = arguments("s3://bucket/cut", raw, tiny_tokenizer_folder)

    def stop_after_the_first_stream() -> None:
        while not any(name.endswith("manifest.json") for name in bucket.names("cut/")):
            time.sleep(0.01)
        bucket.server.stop()

    watcher = threading.Thread(target=stop_after_the_first_stream)
    watcher.start()
    assert cli.main(command) == 2
    watcher.join()
    error = capsys.readouterr().err
    assert "s3://bucket/cut/" in error and "the same command goes on" in error.splitlines()[-1]
    bucket.restart()
    assert 0 < len(bucket.names("cut/")) < len(TASKS) * 2 * 4
    assert cli.main(command) == 0
    assert cli.main(arguments("s3://bucket/whole", raw, tiny_tokenizer_folder)) == 0
    assert bucket.content("cut/") == bucket.content("whole/")
