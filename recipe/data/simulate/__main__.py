"""What a configuration costs before it runs: all batching strategies side by side, without a GPU.

    python -m recipe.data.simulate yamls/roberta_base.yaml --ranks 64
    python -m recipe.data.simulate yamls/bart_base.yaml data.step_examples=8192 data.token_budget=16384 --plot plan.png

Plans the first epoch on that many ranks, cuts a sample of its steps exactly as training would, and adds up what every
device does. The columns are the four strategies (data.strategy) and, for comparison, fixed batches: one task and
step_examples / ranks examples a rank, padded to the longest.

How to use it: raise data.token_budget until the memory is what your device has (leave a fifth free), then
data.step_examples until the ranks are busy enough for you. Steps an epoch times max_duration is the number of updates.

The examples are those of data.store. Where there is no such folder, or the tokenizer is not on this machine, they are
drawn from the published sizes and average lengths of the 46 datasets. docs/batching.md explains the strategies.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from recipe.command_line import add_configuration, make_parser
from recipe.config import TrainConfig, load_config, tokenizer_name
from recipe.data.batch_plan import PlanError, Strategy
from recipe.data.cut_step import check_budget
from recipe.data.remote import is_url
from recipe.data.simulate.lengths import Lengths, published_lengths, stored_lengths
from recipe.data.simulate.memory import backbone_shape, estimate_memory
from recipe.data.simulate.outcome import Outcome, simulate_fixed, simulate_strategy
from recipe.data.simulate.show import Costs, make_table, plot_outcomes
from recipe.data.store import open_store
from recipe.data.tokenizer import TokenizerError, load_tokenizer
from recipe.errors import UserError
from recipe.tasks import get_task


def main(argv: list[str] | None = None) -> int:
    arguments = _parse(argv)
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        config = load_config(arguments.yaml, arguments.overrides)
        shape = backbone_shape(config)
        summarizes = any(get_task(key).needs_decoder for key in config.tasks)
        encoder_decoder = summarizes if shape is None else shape.encoder_decoder
        lengths = read_lengths(config, encoder_decoder, arguments.max_length)
        outcomes, notes = simulate(config, lengths, arguments.ranks, arguments.sample)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    nodes = -(-arguments.ranks // arguments.ranks_per_node)
    download = lengths.download(config.data.plan(config.seed), nodes)
    costs = [
        Costs(
            None if shape is None else estimate_memory(shape, config, outcome, arguments.ranks),
            download,
            outcome.rank_tokens / arguments.tokens_per_second / 3600,
        )
        for outcome in outcomes
    ]
    title = f"{config.run_name} on {_several(arguments.ranks, 'rank')}: {config.data.step_examples:,} examples a step"
    console.print(f"{len(lengths.examples):,} examples of {len(lengths.tasks)} tasks, {lengths.origin}")
    console.print(make_table(outcomes, costs, f"{title}, {config.data.token_budget:,} tokens a microbatch"))
    console.print(
        f"hours at {arguments.tokens_per_second:,} padded tokens a second and rank; {_several(nodes, 'node')}"
    )
    for note in notes:
        console.print(note)
    if arguments.plot:
        plot_outcomes(arguments.plot, outcomes, title)
        console.print(f"plot: {arguments.plot}")
    return 0


def read_lengths(config: TrainConfig, encoder_decoder: bool, max_length: int) -> Lengths:
    """The store's lengths, or the published ones where there is no store or no tokenizer to find its folder with.

    Raises:
        StoreError: The store is there but damaged, or made for something else.
    """
    store = config.data.store
    if not is_url(store) and not Path(store).expanduser().is_dir():
        reason = f"{store} is not there"
    else:
        try:
            tokenizer = load_tokenizer(tokenizer_name(config))
        except TokenizerError:
            reason = f"the tokenizer of {config.backbone.name}, which names its folder in {store}, cannot be loaded"
        else:
            with tempfile.TemporaryDirectory() as cache:
                opened = open_store(store, tokenizer, config.tasks, "train", cache)
                return stored_lengths(opened, encoder_decoder, f"stored in {store}")
    origin = f"drawn from published sizes and lengths, rows of {max_length} tokens or less ({reason})"
    return published_lengths(config.tasks, encoder_decoder, max_length, origin)


def simulate(config: TrainConfig, lengths: Lengths, ranks: int, sample: int) -> tuple[list[Outcome], list[str]]:
    """Outcomes of the strategies that are possible and of fixed batches, and why the others are not."""
    check_budget(lengths.examples, config.data.token_budget, lengths.tasks)
    settings, outcomes, notes = config.data.plan(config.seed), [], []
    for strategy in reversed(Strategy):
        try:
            outcomes.append(simulate_strategy(lengths, replace(settings, strategy=strategy), ranks, sample))
        except PlanError as error:
            notes.append(f"{strategy.value}: {error}")
    return [*outcomes, simulate_fixed(lengths, settings, ranks, sample)], notes


def _several(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _parse(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("python -m recipe.data.simulate", __doc__ or "")
    add_configuration(parser, "configuration of the run, e.g. yamls/roberta_base.yaml", "data.token_budget=8192")
    parser.add_argument("--ranks", type=_positive, default=64, help="devices over all nodes (default 64)")
    parser.add_argument("--ranks-per-node", type=_positive, default=8, help="for the download (default 8)")
    parser.add_argument(
        "--tokens-per-second",
        type=_positive,
        default=30_000,
        help="that one device processes, padding included, for the hours: measure yours with a short run on one device "
        "(default 30000)",
    )
    parser.add_argument("--max-length", type=_positive, default=512, help="of published rows, in tokens (default 512)")
    parser.add_argument("--sample", type=_positive, default=32, help="steps that are cut and averaged (default 32)")
    parser.add_argument("--plot", type=Path, help="also draw where the devices' time goes, into this PNG")
    return parser.parse_intermixed_args(argv)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} must be 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
