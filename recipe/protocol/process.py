"""Running one of the recipe's scripts in processes of its own, as a user would."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from threading import Lock, Thread

import torch

import recipe
from recipe.errors import UserError

_CHILDREN = Lock()  # to start or join one reads all others' ends, too, which two threads at once get only one of
_USER_ERROR = 2  # the exit status of an error that every repetition would meet again


class ProcessError(UserError):
    """A script that ended without finishing its work."""


def run_script(name: str, yaml: Path, ranks: int = 1, devices: Sequence[int] = ()) -> None:
    """Runs ``composer -n <ranks> recipe/<name> <yaml>``; what it says goes to a ``.log`` file beside the YAML.

    Importing Composer takes ten seconds, as long as a small run. Where one process is enough it is forked from one that
    has imported it, except on GPUs: CUDA does not survive a fork.

    Args:
        name: ``train.py`` or ``finetune.py``.
        yaml: Its configuration.
        ranks: Processes.
        devices: GPUs that they have for themselves; none: all that there are.

    Raises:
        ProcessError: With the script's own error, or how it ended.
    """
    script = str(Path(recipe.__path__[0]) / name)
    environment = {**os.environ, **({"CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))} if devices else {})}
    path = yaml.with_suffix(".log")
    if ranks == 1 and not torch.cuda.is_available():
        status = _run_forked(script, yaml, path, environment)
    else:
        status = _run_new(script, yaml, path, environment, ranks)
    if status == 0:
        return
    said = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    errors = [line.removeprefix("error: ") for line in said if line.startswith("error: ")]
    if status == _USER_ERROR and errors:
        raise ProcessError(f"{yaml}: {errors[-1]}")
    raise ProcessError(
        f"{name} {yaml} ended with status {status} ({said[-1] if said else 'it said nothing'}): "
        f"see {path}, and run the same command again to go on"
    )


def _run_new(script: str, yaml: Path, log: Path, environment: Mapping[str, str], ranks: int) -> int:
    launcher = ["-m", "composer.cli.launcher", "-n", str(ranks)] if ranks > 1 else []  # it takes seconds to import
    command = [sys.executable, *launcher, script, str(yaml)]
    with log.open("w", encoding="utf-8") as output:
        return subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, env=environment).returncode


def _run_forked(script: str, yaml: Path, log: Path, environment: Mapping[str, str]) -> int:
    context = multiprocessing.get_context("forkserver")
    late = ["pandas", "torch.utils.tensorboard"]  # Composer imports them when it needs them
    context.set_forkserver_preload(["recipe.train", "recipe.finetune", *late])
    process = context.Process(target=_become, args=(script, str(yaml), str(log), environment, os.getcwd()))
    with _CHILDREN:
        process.start()
    wait([process.sentinel])
    with _CHILDREN:
        process.join()
    assert process.exitcode is not None  # joined
    return process.exitcode


def _become(script: str, yaml: str, log: str, environment: Mapping[str, str], folder: str) -> None:
    """Makes this process ``python <script> <yaml>`` in ``folder`` that writes to ``log``."""
    Thread(target=_end_with_parent, daemon=True).start()
    os.chdir(folder)
    output = os.open(log, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o666)
    os.dup2(output, sys.stdout.fileno())
    os.dup2(output, sys.stderr.fileno())
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = [script, yaml]
    try:
        runpy.run_path(script, run_name="__main__")
    finally:
        atexit._run_exitfuncs()  # multiprocessing does not: shared memory would stay until the last run ends


def _end_with_parent() -> None:
    # Its command line does not say what it runs: nobody could find it to end it.
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
