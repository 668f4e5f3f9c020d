"""Conversion on a Dask cluster of real worker processes, one of which is killed half-way."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import cast

import pytest
from distributed import LocalCluster

from data_prep import __main__ as cli
from tests.conftest import content, write_miniature

pytestmark = pytest.mark.slow

TASKS = ("cola", "rte", "copa", "squad", "xsum", "sciq")


def test_a_worker_killed_half_way_changes_nothing(tmp_path: Path, tiny_tokenizer_folder: str):
    write_miniature(tmp_path / "raw", TASKS, train=400, evaluation=40)

    def convert(store: str, *more: str) -> int:
        command = [str(tmp_path / store), "--source", f"local:{tmp_path}/raw", "--tokenizer", tiny_tokenizer_folder]
        return cli.main([*command, "--max-length", "64", *more])

    assert convert("here", "--workers", "1") == 0
    options = {"processes": True, "threads_per_worker": 1, "dashboard_address": None}
    with LocalCluster(n_workers=2, host="127.0.0.1", **options) as opened:
        cluster = cast(LocalCluster, opened)
        victim = next(iter(cluster.workers.values())).pid
        killed = threading.Event()

        def kill_after_the_first_stream() -> None:
            while not list(tmp_path.glob("cluster/*/*/*/manifest.json")):
                time.sleep(0.01)
            os.kill(victim, signal.SIGKILL)
            killed.set()

        threading.Thread(target=kill_after_the_first_stream, daemon=True).start()
        assert convert("cluster", "--scheduler", cluster.scheduler_address) == 0
        assert killed.is_set()
    assert content(tmp_path / "cluster") == content(tmp_path / "here")
    assert len(content(tmp_path / "here")) == len(TASKS) * 2 * 4


def test_a_scheduler_that_is_not_there_is_one_line(
    tmp_path: Path, tiny_tokenizer_folder: str, capsys: pytest.CaptureFixture[str]
):
    command = [str(tmp_path / "store"), "--source", "miniature", "--tokenizer", tiny_tokenizer_folder, "--tasks", "cb"]
    assert cli.main([*command, "--scheduler", "tcp://127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert "no Dask scheduler can be reached there" in error and error.count("\n") == 1
    assert not (tmp_path / "store").exists()
