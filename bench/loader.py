"""What the loader costs, as ratios to raw reads of the same shards on one core, from disk and from an S3 server.

    python bench/loader.py                       # the demo's shards (`make demo` first)
    python bench/loader.py yamls/minilm.yaml

Raw reads are those of a plain StreamingDataset, by index, of the examples that the loader reads, in its order: nothing
but decoding the columns. The loader plans, reads, pads and groups them into microbatches. The first epoch, which
fetches and decompresses the shards, counts for neither. Rates are by processor seconds of this process, the medians of
rounds in which the two take turns. The outcome is also written to bench/results/loader.json.
"""

from __future__ import annotations

import json
import logging
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, cast

import boto3
import numpy as np
from moto.server import ThreadedMotoServer
from streaming import Stream, StreamingDataset

from recipe.config import TrainConfig, load_config, tokenizer_name
from recipe.data.loader import build_train_data
from recipe.data.microbatch import count_examples
from recipe.data.store import open_store
from recipe.data.tokenizer import load_tokenizer, tokenizer_folder

EXAMPLES, ROUNDS = 4000, 9
RESULTS = Path(__file__).with_name("results") / "loader.json"


def measure(config: TrainConfig, store: str, cache: str) -> dict[str, float]:
    """Rates and times of one store."""
    tokenizer = load_tokenizer(tokenizer_name(config))
    start = time.perf_counter()
    opened = open_store(store, tokenizer, config.tasks, "train", f"{cache}/ours")
    open_s = time.perf_counter() - start
    data = build_train_data(opened, config.data.plan(seed=0), tokenizer, encoder_decoder=False, workers=0)
    loader = cast(Any, data.dataloader)
    next(iter(loader))
    first_batch_s = time.perf_counter() - start
    steps = -(-EXAMPLES // config.data.step_examples)
    ids = np.concatenate([m.ids for step in islice(loader.batch_sampler, steps) for m in step]).tolist()

    start = time.perf_counter()
    plain = plain_dataset(f"{store}/{tokenizer_folder(tokenizer)}", config.tasks, f"{cache}/plain")
    plain_open_s = time.perf_counter() - start

    def read_raw() -> int:
        return sum(1 for index in ids if plain[index])

    def load() -> int:
        return sum(count_examples(batch) for batch in islice(loader, steps))

    assert read_raw() == load() == len(ids)
    raw, ours = zip(*((rate(read_raw), rate(load)) for _ in range(ROUNDS)), strict=True)
    half = sum(map(len, loader.batch_sampler.steps()[: len(loader) // 2]))
    loader.dataset.load_state_dict(loader.dataset.state_dict(half, True))
    start = time.perf_counter()
    next(iter(loader))
    return {
        "raw reads, examples a second": statistics.median(raw),
        "loader, examples a second": statistics.median(ours),
        "loader / raw reads": statistics.median(mine / theirs for mine, theirs in zip(ours, raw, strict=True)),
        "open, s": open_s,
        "open and first batch, s": first_batch_s,
        "open a plain StreamingDataset, s": plain_open_s,
        "first batch of a run resumed in mid-epoch, s": time.perf_counter() - start,
    }


def plain_dataset(root: str, tasks: list[str], cache: str) -> StreamingDataset:
    """The same streams as MosaicML Streaming itself reads them."""
    streams = [Stream(remote=f"{root}/{key}/train", local=f"{cache}/{key}", validate_hash="xxh64") for key in tasks]
    return StreamingDataset(streams=streams, batch_size=1, shuffle=False)


def rate(read: Callable[[], int]) -> float:
    """Examples a processor second."""
    start = time.process_time()
    return read() / (time.process_time() - start)


@contextmanager
def bucket(store: str, folder: str) -> Iterator[str]:
    """The URL of a copy of a store's folder on an S3 server on loopback."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # one line a request
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ |= {"S3_ENDPOINT_URL": f"http://{host}:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    client = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT_URL"])
    client.create_bucket(Bucket="store")
    for path in Path(store, folder).rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "store", str(path.relative_to(store)))
    try:
        yield "s3://store"
    finally:
        server.stop()


def main() -> None:
    yaml, *overrides = sys.argv[1:] or ["yamls/demo.yaml"]
    config = load_config(yaml, overrides)
    if not Path(config.data.store).is_dir():
        sys.exit(f"{config.data.store} is not a folder: run `make demo` first")
    folder = tokenizer_folder(load_tokenizer(tokenizer_name(config)))
    with tempfile.TemporaryDirectory() as cache:
        results = {"disk": measure(config, config.data.store, f"{cache}/disk")}
        with bucket(config.data.store, folder) as url:
            results["S3"] = measure(config, url, f"{cache}/s3")
    for what in results["disk"]:
        print(f"{what:<48}" + "".join(f"{name:>8} {row[what]:>9.2f}" for name, row in results.items()))
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"yaml": yaml, "stores": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
