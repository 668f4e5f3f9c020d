"""The commands that look at a store are reached through ``python -m data_prep``."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep import __main__ as cli


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_has_help_of_its_own(command: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    output = capsys.readouterr().out
    assert stop.value.code == 0 and f"usage: python -m data_prep {command}" in output and "exit code: 0" in output


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_each_command_says_in_one_line_that_there_is_no_store(command: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([command, "/no/such/store"]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == "error: /no/such/store: no such folder"


def test_ctrl_c_ends_a_command_in_one_line(miniature_store: str, tmp_path: Path):
    store = Path(shutil.copytree(miniature_store, tmp_path / "store"))
    manifest = sorted(store.rglob("manifest.json"))[0]
    manifest.unlink()
    os.mkfifo(manifest)  # whoever reads it waits
    command = [sys.executable, "-m", "data_prep", "verify", str(store)]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with open(manifest, "wb"):  # opens when the command has begun to read
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in errors and errors.splitlines()[-1] == "interrupted: the store is as it was"
