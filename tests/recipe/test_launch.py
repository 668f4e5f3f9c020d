"""Two machines, as near as one gets: two launchers, each with shared memory and temporary files of its own."""

from __future__ import annotations

import os
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from recipe.checkpoint import latest_checkpoint
from tests.processes import ROOT, start_process

LAUNCH = ROOT / "docs" / "launch"
APART = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /dev/shm && exec "$@"', "sh"]

# `srun` as the Slurm file uses it: the command once on each node, with the node's number.
SRUN = f"""#!/bin/bash
for node in 0 1; do
  mkdir -p "$NODES/$node"
  SLURM_NODEID=$node TMPDIR="$NODES/$node" {shlex.join(APART)} "$@" &
done
wait -n && wait -n
"""


# `composer` where there is no virtual environment: notes what it is told.
COMPOSER = r"""#!/bin/sh
printf '%s\n' "$*" >> "$NODES/commands"
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    if subprocess.run([*APART, "true"], capture_output=True).returncode:
        pytest.skip("two launchers can only stand for two machines where mount namespaces are allowed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    programs = tmp_path / "programs"
    for name, text in {"composer": COMPOSER, "srun": SRUN, "scontrol": "#!/bin/sh\necho 127.0.0.1\n"}.items():
        programs.mkdir(exist_ok=True)
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NODES": str(tmp_path), "MASTER_PORT": str(port)}


def start_slurm(args: str, environment: Mapping[str, str], folder: Path) -> list[subprocess.Popen[str]]:
    job = {"SLURM_NNODES": "2", "SLURM_GPUS_ON_NODE": "1", "SLURM_JOB_NODELIST": "node[0-1]"}
    command = [str(LAUNCH / "slurm.sh"), *shlex.split(args)]
    return [start_process(command, {**environment, **job, "SLURM_JOB_ID": "1"}, folder)]


def start_kubernetes(args: str, environment: Mapping[str, str], folder: Path) -> list[subprocess.Popen[str]]:
    replicas = _read("kubernetes.yaml")["spec"]["pytorchReplicaSpecs"]
    containers = [replicas[kind]["template"]["spec"]["containers"][0] for kind in ("Master", "Worker")]
    processes = []
    for rank, container in enumerate(containers):
        own = {entry["name"]: entry["value"] for entry in container["env"]} | {"GPUS": "1", "ARGS": args}
        operator = {"MASTER_ADDR": "127.0.0.1", "WORLD_SIZE": "2", "RANK": str(rank)}
        node = _node(environment, rank)
        processes.append(
            start_process([*APART, *container["command"], *container["args"]], {**node, **operator, **own}, folder)
        )
    return processes


def start_skypilot(args: str, environment: Mapping[str, str], folder: Path) -> list[subprocess.Popen[str]]:
    task = _read("skypilot.yaml")
    processes = []
    for rank in range(task["num_nodes"]):
        sky = {
            "SKYPILOT_NUM_NODES": "2",
            "SKYPILOT_NUM_GPUS_PER_NODE": "1",
            "SKYPILOT_NODE_RANK": str(rank),
            "SKYPILOT_NODE_IPS": "127.0.0.1\n127.0.0.1",
        }
        command = [*APART, "bash", "-c", task["run"]]
        processes.append(start_process(command, {**_node(environment, rank), **sky, "ARGS": args}, folder))
    return processes


@pytest.mark.slow
def test_a_launch_file_trains_on_two_nodes(environment: dict[str, str], run_yaml: Path, tmp_path: Path):
    """Kubernetes', whose operator sets variables that the launcher reads as well."""
    _finish(start_kubernetes(f"{run_yaml} max_duration=2ba", environment, ROOT))
    checkpoint = latest_checkpoint(tmp_path / "runs" / "tiny" / "checkpoints")
    assert checkpoint is not None and checkpoint.name == "ep0-ba2-rank0.pt"
    assert len(torch.load(checkpoint, weights_only=False)["rng"]) == 2, "one random state for each of two ranks"


def test_all_launch_files_give_the_same_commands(environment: dict[str, str], tmp_path: Path):
    """So what one of them does the others do, too."""
    for start in (start_kubernetes, start_slurm, start_skypilot):
        _finish(start("yamls/demo.yaml seed=5", environment, tmp_path))
        given = sorted((tmp_path / "commands").read_text().splitlines())
        assert [re.sub(r"port \d+", "port <number>", line) for line in given] == [
            f"-n 1 --world_size 2 --node_rank {node} --master_addr 127.0.0.1 --master_port <number> "
            "recipe/train.py yamls/demo.yaml seed=5"
            for node in range(2)
        ]
        assert len({line.split()[9] for line in given}) == 1, "one port for both"
        (tmp_path / "commands").unlink()


def _finish(processes: Sequence[subprocess.Popen[str]]) -> None:
    try:
        for process in processes:
            output, _ = process.communicate(timeout=300)
            assert process.returncode == 0, output
    finally:
        for process in processes:
            process.terminate()


def _read(name: str) -> dict[str, Any]:
    return yaml.safe_load((LAUNCH / name).read_text())


def _node(environment: Mapping[str, str], rank: int) -> dict[str, str]:
    temporary = Path(environment["NODES"], str(rank))
    temporary.mkdir(exist_ok=True)
    return {**environment, "TMPDIR": str(temporary)}
