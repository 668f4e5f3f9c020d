"""How fast overlaps are found, and in how much memory.

    python bench/overlap.py --examples 1000000

Makes a store of random texts in which one training example in ten is also an evaluation example, looks for overlaps
in one process, and prints examples per second of CPU time, this time as a multiple of only decoding the store's
tokens, and the peak memory. A million examples need about 1 GB of disk.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from streaming import MDSWriter

from data_prep import overlap, train_tokenizer
from data_prep.decode import decode_texts, example_texts
from data_prep.streams import list_store, read_shard
from recipe.data.manifest import VERSION, Manifest, columns
from recipe.data.stream_files import read_stream_files, seal_stream
from recipe.data.tokenizer import fingerprint, load_tokenizer, tokenizer_folder
from recipe.tasks.catalogue import Family, get_task

SHARED = 0.1  # of the training examples
SIZES = {"mnli/train": 0.5, "multi_nli/train": 0.4, "mnli/validation": 0.1}  # shares of the examples
MEAN_TOKENS = 120


def write_stream(store: Path, tokenizer_name: str, name: str, examples: int, seed: int) -> None:
    """Random token ids, the first of them those of the seed that another stream has, too."""
    tokenizer = load_tokenizer(tokenizer_name)
    key, split = name.split("/")
    task = get_task(key)
    folder = store / tokenizer_folder(tokenizer) / key / split
    encodings = columns(Family.CLASSIFICATION, split, "uint16")
    own, common = np.random.default_rng(seed), np.random.default_rng(0)
    lengths = []
    with MDSWriter(out=str(folder), columns=encodings, compression="zstd", hashes=["xxh64"]) as writer:
        for number in range(examples):
            rng = common if number < SHARED * examples else own
            size = int(np.clip(rng.exponential(MEAN_TOKENS), 16, 512))
            sample = {
                "tokens": rng.integers(300, len(tokenizer), size).astype(np.uint16),
                "row_lengths": np.array([size], np.int32),
                "second": np.array([size // 2], np.int32),
                "label": number % len(task.labels),
            }
            writer.write({**sample, **({"reference": {"group": ""}} if split == "validation" else {})})
            lengths.append((1, size, 0))
    manifest = Manifest(
        version=VERSION,
        task=key,
        family=task.family.value,
        split=split,
        source="random",
        source_split=split,
        revision=str(seed),
        tokenizer=tokenizer_name,
        fingerprint=fingerprint(tokenizer),
        labels=task.labels,
        max_length=512,
        max_target_length=128,
        stride=128,
        train_windows=4,
        limit=None,
        read=examples,
        written=examples,
        dropped={},
        tokens=sum(size for _, size, _ in lengths),
        rows=examples,
    )
    seal_stream(str(folder), np.array(lengths, np.int32), manifest)


def decode_all(store: Path, tokenizer_name: str) -> float:
    """CPU seconds to read the store and decode every text, nothing else."""
    tokenizer = load_tokenizer(tokenizer_name)
    start = time.process_time()
    for stream in list_store(str(store)).streams:
        files = read_stream_files(stream.folder, stream.fix)
        for shard in files.shards:
            for sample in read_shard(stream, shard):
                decode_texts(tokenizer, example_texts(sample, Family.CLASSIFICATION, files.manifest.stride))
    return time.process_time() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=20_000, help="default: %(default)s")
    examples = parser.parse_args().examples
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        store, tokenizer = Path(folder, "store"), str(Path(folder, "tokenizer"))
        with contextlib.redirect_stdout(nowhere):
            train_tokenizer.main([tokenizer, "--source", "miniature", "--tasks", "mnli,xsum"])
        for seed, (name, share) in enumerate(SIZES.items(), start=1):
            write_stream(store, tokenizer, name, int(share * examples), seed)
        decoding = decode_all(store, tokenizer)
        start = time.process_time()
        if code := overlap.main([str(store), "--workers", "1", "--out", str(Path(folder, "report"))]):
            sys.exit(code)
        seconds = time.process_time() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{'examples':>12}{'examples/CPU s':>16}{'time / decoding':>18}{'peak memory, MB':>18}")
    print(f"{examples:>12,}{examples / seconds:>16,.0f}{seconds / decoding:>18.2f}{peak:>18,.0f}")


if __name__ == "__main__":
    main()
