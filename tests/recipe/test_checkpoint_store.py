"""Runs whose checkpoints go to an object store: killed in an upload, continued elsewhere, without their store."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from recipe.checkpoint import BEST, CheckpointError, read_checkpoint
from recipe.checkpoint_store import CheckpointStoreError, RunStore, begin_run
from recipe.config import load_config
from recipe.data import objects, remote
from recipe.train import train
from tests.processes import run_ranks
from tests.s3_server import Bucket, forget_credentials
from tests.tiny_run import final_weights, start_run, training_losses

pytestmark = pytest.mark.slow

STORE = "checkpoint_store=s3://bucket/runs"
FETCH = """
import os, sys
from pathlib import Path
from recipe.checkpoint_store import RunStore, fetch_run
from recipe.distributed import initialize_ranks
initialize_ranks()
fetch_run(RunStore("s3://bucket/runs", "apart"), Path(sys.argv[1]) / os.environ["RANK"] / "run")
"""


class StallingProxy:
    """Stands before an S3 server; of the first upload whose key holds ``stall_at`` only the first half gets through."""

    def __init__(self, port: int, stall_at: str) -> None:
        self.behind, self.stall_at = port, stall_at.encode()
        self.stalled = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.behind))
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._pass_on, args=(source, target), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while chunk := source.recv(65536):
                first_line = chunk.partition(b"\r\n")[0]
                if first_line.startswith(b"PUT") and self.stall_at in first_line:
                    target.sendall(chunk[: len(chunk) // 2])
                    self.stalled.set()
                    return  # the sockets stay open: neither side learns anything
                target.sendall(chunk)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            return


@pytest.fixture
def proxy(bucket: Bucket) -> Iterator[StallingProxy]:
    opened = StallingProxy(bucket.port, "checkpoints/ep0-ba4")
    yield opened
    opened.close()


def test_a_run_killed_in_an_upload_continues_on_another_machine_to_the_bit(
    bucket: Bucket, proxy: StallingProxy, run_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    overrides = ["save_interval=2ba", "max_duration=7ba", "eval_interval=3ba"]
    train(load_config(run_yaml, [*overrides, "run_name=whole"]))

    overrides += ["run_name=killed", STORE]
    monkeypatch.setenv("S3_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
    process = start_run(run_yaml, *overrides)
    while not proxy.stalled.wait(0.1):
        assert process.poll() is None, process.output
    process.kill()
    killed = tmp_path / "runs" / "killed"
    assert (killed / "checkpoints" / "ep0-ba4-rank0.pt").exists(), "the upload should be behind the training"
    shutil.rmtree(killed)
    begun = bucket.client().create_multipart_upload(Bucket="bucket", Key="runs/killed/checkpoints/ep0-ba6-rank0.pt")
    where = {name: begun[name] for name in ("Bucket", "Key", "UploadId")}
    bucket.client().upload_part(**where, PartNumber=1, Body=b"the first of several parts")
    assert [name for name in bucket.names("runs/killed/checkpoints/") if name.startswith("ep")] == ["ep0-ba2-rank0.pt"]

    monkeypatch.setenv("S3_ENDPOINT_URL", bucket.endpoint)
    objects._uploader.cache_clear()
    train(load_config(run_yaml, overrides))
    whole, resumed = final_weights(tmp_path / "runs" / "whole"), final_weights(killed)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert training_losses(tmp_path / "runs" / "whole") == training_losses(killed), "metrics before the kill came, too"


def test_a_sharded_checkpoint_without_its_index_is_not_one_yet(bucket: Bucket, run_yaml: Path, tmp_path: Path):
    """As if the machine had gone before the last object of the last checkpoint was there."""
    overrides = ["run_name=sharded", STORE, "parallelism=fsdp2", "sharded_checkpoints=true"]
    overrides += ["max_duration=4ba", "save_interval=2ba", "eval_interval=9ep"]
    folder = tmp_path / "runs" / "sharded"
    train(load_config(run_yaml, overrides))
    whole = final_weights(folder)
    assert all(
        torch.equal(whole[name], value)
        for name, value in read_checkpoint(folder / "checkpoints" / BEST).weights.items()
    )
    shutil.rmtree(folder)
    bucket.client().delete_object(Bucket="bucket", Key="runs/sharded/checkpoints/ep0-ba4/.metadata")
    with pytest.raises(CheckpointError, match="ep0-ba2 is sharded: continue with"):
        train(load_config(run_yaml, [*overrides, "sharded_checkpoints=false"]))
    train(load_config(run_yaml, overrides))
    resumed = final_weights(folder)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(bucket.names("runs/sharded/")) == here


def test_the_store_has_what_the_folder_has_and_retention_keeps_as_much(bucket: Bucket, run_yaml: Path, tmp_path: Path):
    overrides = ["run_name=mirrored", STORE, "max_duration=5ba", "save_interval=1ba", "eval_interval=2ba"]
    train(load_config(run_yaml, [*overrides, "keep_checkpoints=2"]))
    folder = tmp_path / "runs" / "mirrored"
    here = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert bucket.content("runs/mirrored/") == here
    checkpoints = {"ep0-ba4-rank0.pt", "ep0-ba5-rank0.pt", "best-rank0.pt"}
    assert here.keys() == {
        "config.yaml",
        "metrics.jsonl",
        "finished.json",
        *(f"checkpoints/{name}" for name in checkpoints),
    }


def test_a_finished_run_that_goes_on_for_longer_is_unfinished_in_its_store_too(
    bucket: Bucket, run_yaml: Path, tmp_path: Path
):
    overrides = ["run_name=longer", STORE, "save_interval=1ba", "eval_interval=9ba"]
    train(load_config(run_yaml, [*overrides, "max_duration=1ba"]))
    assert "finished.json" in bucket.names("runs/longer/")
    store = RunStore(STORE.partition("=")[2], "longer")
    begin_run(store, tmp_path / "runs" / "longer")
    assert "finished.json" not in bucket.names("runs/longer/")


def test_machines_without_a_common_folder_all_get_the_newest_checkpoint(bucket: Bucket, tmp_path: Path):
    """The second machine's, which it had not uploaded yet; the first has none, the store an older one."""
    newest, older = tmp_path / "1" / "run" / "checkpoints" / "ep0-ba6-rank0.pt", tmp_path / "older.pt"
    newest.parent.mkdir(parents=True)
    torch.save({"step": 6}, newest)
    torch.save({"step": 2}, older)
    bucket.client().upload_file(str(older), "bucket", "runs/apart/checkpoints/ep0-ba2-rank0.pt")
    script = tmp_path / "fetch.py"
    script.write_text(FETCH)
    run_ranks(str(script), str(tmp_path), ranks=2, local_ranks=1)
    fetched = tmp_path / "0" / "run" / "checkpoints" / "ep0-ba6-rank0.pt"
    assert fetched.read_bytes() == newest.read_bytes()
    assert set(bucket.names("runs/apart/")) == {"checkpoints/ep0-ba2-rank0.pt", "checkpoints/ep0-ba6-rank0.pt"}


def test_training_goes_on_without_its_store_and_says_so_at_the_end(
    bucket: Bucket, run_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(remote, "WAITS_S", (0.05,))
    overrides = ["run_name=alone", STORE, "max_duration=6ba", "save_interval=1ba", "eval_interval=9ep"]

    def stop_after_the_first_checkpoint() -> None:
        while not any(name.startswith("checkpoints") for name in bucket.names("runs/alone/")):
            time.sleep(0.01)
        bucket.server.stop()

    watcher = threading.Thread(target=stop_after_the_first_checkpoint)
    watcher.start()
    with pytest.raises(CheckpointStoreError, match=r"ep0-ba6-rank0.pt.*nothing is lost.*give the same command again"):
        train(load_config(run_yaml, overrides))
    watcher.join()
    assert "trying again with the next checkpoint" in caplog.text
    bucket.restart()
    assert "checkpoints/ep0-ba6-rank0.pt" not in bucket.names("runs/alone/")
    train(load_config(run_yaml, overrides))
    folder = tmp_path / "runs" / "alone"
    assert bucket.content("runs/alone/checkpoints/") == {
        path.name: path.read_bytes() for path in (folder / "checkpoints").iterdir()
    }


def test_what_is_wrong_with_a_store_is_said_before_training(
    bucket: Bucket, run_yaml: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuses(store: str, message: str) -> None:
        with pytest.raises(CheckpointStoreError, match=message) as error:
            train(load_config(run_yaml, [f"checkpoint_store={store}"]))
        assert "\n" not in str(error.value)

    refuses("/a/folder", "checkpoint_store=/a/folder: expected s3://")
    refuses("s3://missing/runs", "there is no such bucket")
    forget_credentials(monkeypatch)
    refuses("s3://bucket/runs", "give credentials where")


def test_a_checkpoint_damaged_on_the_way_is_fetched_again_and_never_used(
    bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote, "WAITS_S", (0.05,))
    name = "checkpoints/ep0-ba1-rank0.pt"
    torch.save({"weights": torch.arange(1000)}, tmp_path / "whole.pt")
    content = bytearray((tmp_path / "whole.pt").read_bytes())
    content[len(content) // 2] ^= 1
    bucket.client().put_object(Bucket="bucket", Key=f"runs/damaged/{name}", Body=bytes(content))
    with pytest.raises(Exception, match="wrong bytes"):
        RunStore("s3://bucket/runs", "damaged").fetch(name, tmp_path)
    assert not any((tmp_path / "checkpoints").iterdir())
