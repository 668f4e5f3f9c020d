"""A script that is forked behaves as one that was started."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from recipe.protocol.process import _run_forked

SCRIPT = """
import atexit, json, os, sys
from pathlib import Path

assert __name__ == "__main__"
said = {"argv": sys.argv, "folder": os.getcwd(), "own": os.environ.get("OWN"), "home": os.environ.get("HOME")}
atexit.register(lambda: Path("ended").write_text("yes"))
print(json.dumps(said), flush=True)
print("error: as wanted", file=sys.stderr)
sys.exit(2)
"""


def test_a_forked_script_has_all_that_a_started_one_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    script, yaml, log = tmp_path / "script.py", tmp_path / "run.yaml", tmp_path / "run.log"
    script.write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "HOME"} | {"OWN": "1"}
    for _ in range(2):
        (tmp_path / "ended").unlink(missing_ok=True)
        assert _run_forked(str(script), yaml, log, environment) == 2
        said, error = log.read_text().splitlines()
        assert json.loads(said) == {"argv": [str(script), str(yaml)], "folder": str(tmp_path), "own": "1", "home": None}
        assert error == "error: as wanted"
        assert (tmp_path / "ended").read_text() == "yes", "what was to be done at exit was done"


def test_scripts_that_run_side_by_side_each_end_as_they_do(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text("import sys, time; time.sleep(0.02); sys.exit(3 if 'odd' in sys.argv[1] else 0)")

    def run(number: int) -> int:
        name = f"{number}-{'odd' if number % 2 else 'even'}"
        return _run_forked(str(script), tmp_path / name, tmp_path / f"{name}.log", dict(os.environ))

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(run, range(200))) == 100 * [0, 3]
