"""The tests. Each process has one thread, so that sums are the same in all of them and two tests share two cores."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # before any test forks a loader's workers
