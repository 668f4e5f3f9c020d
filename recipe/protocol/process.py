"""Running one of the recipe's scripts in processes of its own, as a user would."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import recipe
from recipe.errors import UserError

_USER_ERROR = 2  # the exit status of an error that every repetition would meet again


class ProcessError(UserError):
    """A script that ended without finishing its work."""


def run_script(name: str, yaml: Path, ranks: int = 1, devices: Sequence[int] = ()) -> None:
    """Runs ``composer -n <ranks> recipe/<name> <yaml>``; what it says goes to a ``.log`` file beside the YAML.

    Args:
        name: ``train.py`` or ``finetune.py``.
        yaml: Its configuration.
        ranks: Processes.
        devices: GPUs that they have for themselves; none: all that there are.

    Raises:
        ProcessError: With the script's own error, or how it ended.
    """
    launcher = ["-m", "composer.cli.launcher", "-n", str(ranks)] if ranks > 1 else []  # it takes seconds to import
    script = str(Path(recipe.__path__[0]) / name)
    visible = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))} if devices else {}
    path = yaml.with_suffix(".log")
    with path.open("w", encoding="utf-8") as log:
        process = subprocess.run(
            [sys.executable, *launcher, script, str(yaml)],
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **visible},
        )
    if process.returncode == 0:
        return
    said = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    if process.returncode == _USER_ERROR and errors:
        raise ProcessError(f"{yaml}: {errors[-1]}")
    raise ProcessError(
        f"{name} {yaml} ended with status {process.returncode} ({said[-1] if said else 'it said nothing'}): "
        f"see {path}, and run the same command again to go on"
    )
