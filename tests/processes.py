"""Python programs as processes of their own, forked from one that has imported what they need.

Importing Composer takes ten seconds, more than most of the tests' runs. A program that is started here begins at once;
otherwise it is a process like any other, ends by itself or is killed.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

ROOT = Path(__file__).parents[1]
_PRELOADED = ("recipe.train", "recipe.finetune", "data_prep.run")


class Forked:
    """``python <script> <arguments>`` (or ``-m <module>``), by default in the repository's root."""

    def __init__(
        self, program: str, *arguments: str, environment: Mapping[str, str] = os.environ, working: Path = ROOT
    ) -> None:
        server, folder = _server()
        self._folder = Path(folder.name)
        assert server.stdin and server.stdout
        own = {"environment": dict(environment), "working": str(working)}
        request = {"program": program, "arguments": arguments, **own}
        server.stdin.write(json.dumps(request) + "\n")
        server.stdin.flush()
        self.pid = int(server.stdout.readline())

    @property
    def output(self) -> str:
        """What it has written so far, errors among it."""
        return _output(self._folder, self.pid).read_text(errors="replace")

    def poll(self) -> int | None:
        """Its exit status, negative for a signal, or None while it runs."""
        ended = _status(self._folder, self.pid)
        return int(ended.read_text()) if ended.exists() else None

    def wait(self, timeout: float = 600) -> int:
        deadline = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"still running after {timeout} s: {self.output}")
            time.sleep(0.01)
        return status

    def kill(self) -> None:
        """End it at once, unless it has ended: then its number may be another process's."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.wait()


def run_forked(program: str, *arguments: str) -> str:
    """Its output; it must succeed."""
    process = Forked(program, *arguments)
    assert process.wait() == 0, process.output
    return process.output


def run_ranks(program: str, *arguments: str, ranks: int, local_ranks: int | None = None) -> list[str]:
    """The outputs of a program's ranks, on one machine or on several with ``local_ranks`` each; all must succeed."""
    local = ranks if local_ranks is None else local_ranks
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": ranks, "LOCAL_WORLD_SIZE": local, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    processes = []
    for rank in range(ranks):
        own = {**shared, "RANK": rank, "LOCAL_RANK": rank % local, "NODE_RANK": rank // local}
        environment = {**os.environ, **{name: str(value) for name, value in own.items()}}
        processes.append(Forked(program, *arguments, environment=environment))
    while any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes):  # the others would wait for it
            for process in processes:
                process.kill()
        time.sleep(0.01)
    outputs = [process.output for process in processes]
    assert not any(process.poll() for process in processes), "\n".join(outputs)
    return outputs


def start_process(
    command: list[str], environment: Mapping[str, str] = os.environ, folder: Path = ROOT
) -> subprocess.Popen[str]:
    """Any command, by default in the repository's root; its output can be read, errors among it."""
    return subprocess.Popen(
        command, cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


@cache
def _server() -> tuple[subprocess.Popen[str], TemporaryDirectory[str]]:
    """It ends with its standard input, that is, with this process."""
    folder = TemporaryDirectory(prefix="forked-", ignore_cleanup_errors=True)
    command = [sys.executable, __file__, folder.name]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE), folder


def _output(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.output"


def _status(folder: Path, pid: int) -> Path:
    return folder / f"{pid}.status"


def _serve(folder: Path) -> None:
    """Fork a process for each line of standard input and write its number; becomes that process in the fork."""

    def keep_statuses(*_: Any) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                partial = folder / "partial"
                partial.write_text(str(os.waitstatus_to_exitcode(ended[1])))
                partial.rename(_status(folder, ended[0]))

    sys.path.insert(0, str(ROOT))
    for module in _PRELOADED:
        import_module(module)
    gc.freeze()  # else every fork copies what its collector looks at
    signal.signal(signal.SIGCHLD, keep_statuses)
    for line in iter(sys.stdin.readline, ""):
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return _become(folder, **json.loads(line))
        print(pid, flush=True)


def _become(folder: Path, program: str, arguments: Sequence[str], environment: Mapping[str, str], working: str) -> None:
    output, nothing = os.open(_output(folder, os.getpid()), os.O_CREAT | os.O_WRONLY), os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(working)
    sys.argv = [program, *arguments]
    if program.endswith(".py"):
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
