"""What the batch plan costs a rank: time and memory for an epoch of the 46 datasets on 1 to 512 ranks.

    make bench

Each line is a process of its own, so that its peak of memory is its own. Processor seconds, not wall time: the plan
runs on one core, whatever else the machine does. The outcome is also written to bench/results/batch_plan.json.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

import numpy as np

from recipe.data.batch_plan import Examples, PlanSettings, Strategy, plan_epoch
from recipe.data.cut_step import cut_step

RANKS = (1, 8, 64, 512)
STEP_EXAMPLES, TOKEN_BUDGET, CUTS = 8192, 16384, 8
COLUMNS = ("task", "rows", "encoder_tokens", "decoder_tokens", "generates")
RESULTS = Path(__file__).with_name("results") / "batch_plan.json"


def measure(folder: Path, strategy: Strategy, ranks: int) -> dict[str, float]:
    """Seconds and megabytes of one rank."""
    examples = Examples(*(np.load(folder / f"{name}.npy") for name in COLUMNS))
    settings = PlanSettings(strategy, STEP_EXAMPLES, TOKEN_BUDGET, seed=0)
    start = time.process_time()
    steps = plan_epoch(examples, settings, epoch=0)
    planned = time.process_time()
    for step in islice(steps, CUTS):
        cut_step(examples, step, settings, ranks)
    a_cut = (time.process_time() - planned) / min(CUTS, len(steps))
    return {
        "plan an epoch, s": planned - start,
        "cut a step, ms": 1e3 * a_cut,
        "plan an epoch and cut all its steps, s": planned - start + a_cut * len(steps),
        "peak memory, MB": _peak_memory() / 2**20,
    }


def _peak_memory() -> int:
    """Bytes, since the process began; getrusage would count its parent's as well. Linux only."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def main() -> None:
    if len(sys.argv) > 1:
        print(json.dumps(measure(Path(sys.argv[1]), Strategy(sys.argv[2]), int(sys.argv[3]))))
        return
    from recipe.data.simulate.lengths import published_lengths  # not in the measured processes: it imports torch
    from recipe.tasks.catalogue import PREFINETUNE_TASKS

    examples = published_lengths(PREFINETUNE_TASKS, encoder_decoder=True, max_length=512, origin="").examples
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name in COLUMNS:
            np.save(Path(folder) / f"{name}.npy", getattr(examples, name))
        for strategy, ranks in ((s, r) for s in (Strategy.MIXED, Strategy.HETEROGENEOUS) for r in RANKS):
            command = [sys.executable, __file__, folder, strategy.value, str(ranks)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            results.append({"strategy": strategy.value, "ranks": ranks, **json.loads(done.stdout)})
    print(f"{len(examples):,} examples, {STEP_EXAMPLES:,} a step, {TOKEN_BUDGET:,} tokens a microbatch")
    print("  ".join(f"{key:>14}" for key in results[0]))
    for result in results:
        cells = (f"{v:.2f}" if isinstance(v, float) else str(v) for v in result.values())
        print("  ".join(f"{cell:>{max(14, len(key))}}" for cell, key in zip(cells, result, strict=True)))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
