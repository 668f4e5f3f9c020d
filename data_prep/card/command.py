"""The command line of the data card."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from data_prep.__main__ import Parser, add_user_tasks, fail, fail_to_write
from data_prep.card.facts import StreamFacts, collect
from data_prep.card.pictures import plot_lengths, plot_sizes
from data_prep.card.text import card_page, card_text
from data_prep.streams import list_one_tokenizer
from recipe.config import load_user_tasks
from recipe.errors import UserError
from recipe.report.files import write_text
from recipe.tasks.catalogue import Family

DESCRIPTION = """\
Describe a shard store: card.md with its pictures, and card.html, the same in one file. The paper's Table 1 beside the
store's counts; each stream's size, lengths, targets and drops; each dataset's source, revision and licence.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser(
        "python -m data_prep card", DESCRIPTION, "exit code: 0 done; 2 something is wrong, said in one line"
    )
    parser.add_argument("store", help="folder or URL of the shard store")
    parser.add_argument("--out", default="card", help="folder of the card (default: %(default)s)")
    add_user_tasks(parser)
    parser.add_argument("--tokenizer-folder", help="whose streams, where a store has those of several tokenizers")
    options = parser.parse_args(arguments)
    try:
        if options.user_tasks:
            load_user_tasks(options.user_tasks)
        facts = _collect(options.store, options.tokenizer_folder)
        _write(Path(options.out), f"Data card of {os.path.basename(options.store.rstrip('/'))}", facts)
    except UserError as error:
        return fail(error)
    except OSError as error:
        return fail_to_write(error, options.out)
    print(f"{options.out}/card.md and card.html: {len(facts)} streams")
    return 0


def _collect(store: str, tokenizer_folder: str | None) -> list[StreamFacts]:
    streams = list_one_tokenizer(store, tokenizer_folder).streams
    facts = []
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("reading", total=len(streams))
        for number, stream in enumerate(streams, start=1):
            facts.append(collect(stream, lambda share: progress.advance(bar, share)))
            progress.update(bar, completed=number)
    return facts


def _write(folder: Path, title: str, facts: list[StreamFacts]) -> None:
    training = [one for one in facts if one.stream.split == "train"] or facts
    families = [family.value for family in Family]
    training = sorted(training, key=lambda one: (families.index(one.manifest.family), -one.manifest.written))
    plot_sizes(folder / "sizes.png", training)
    plot_lengths(folder / "lengths.png", training)
    text = card_text(title, facts, ("sizes.png", "lengths.png"))
    write_text(folder / "card.md", text)
    write_text(folder / "card.html", card_page(text, title, folder))
