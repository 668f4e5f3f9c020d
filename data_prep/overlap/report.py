"""The overlap as text, numbers and quotations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from data_prep.overlap.keys import SHINGLE, TEXT_WORDS
from data_prep.overlap.match import KINDS, SIMILARITY
from data_prep.overlap.picture import plot_shares
from data_prep.overlap.shares import Share
from recipe.report.files import write_text
from recipe.report.markdown import markdown_table

Quote = Callable[[int], list[str]]  # number of an example -> its texts

_QUOTED_PAIRS = 6  # of streams, for each kind
_QUOTED_TEXTS, _QUOTED_CHARACTERS = 3, 160
_SMALL = 0.01  # pairs of sets that share only single texts, and of fewer examples than this, are in the JSON file only

METHOD = f"""\
Texts are decoded from the stored token ids and compared without case, punctuation and spacing; labels do not count.

- **exact**: all texts of the example, in any order, are those of an example of the other set.
- **near**: not exact, but the examples share at least {SIMILARITY:.0%} of their runs of {SHINGLE} words (Jaccard \
similarity; candidates by MinHash). Long passages outweigh short questions: two questions about one passage are near.
- **text**: neither, but one of the example's texts of at least {TEXT_WORDS} words (a premise, a question, a passage, \
a choice) is a text of the other set.

Not found: a sentence inside a longer passage, paraphrases, and texts of which the tokenizer's maximum length cut off \
different ends. Evaluation sets are not compared with one another."""


def write_report(folder: Path, title: str, streams: dict[str, int], shares: Sequence[Share], quote: Quote) -> None:
    """Write ``overlap.md``, ``overlap.json`` and ``overlap.png``.

    Args:
        title: What was looked at.
        streams: Number of examples of each stream.
        shares: What they have in common (:func:`data_prep.overlap.shares.sum_up`).
        quote: Gives the texts of an example.
    """
    evaluation = [share for share in shares if not _is_training(share.of)]
    training = [share for share in shares if _is_training(share.of) and _is_training(share.found_in)]
    plot_shares(folder / "overlap.png", evaluation, training)
    parts = [
        f"# {title}",
        _summary(streams, evaluation),
        METHOD,
        "![share of each set's examples that another set has](overlap.png)",
        "## Evaluation sets in training sets",
        _table("evaluation set", evaluation),
        "## Training sets in other training sets",
        _table("training set", training),
        "## Examples",
        *_quotations([*evaluation, *training], quote),
    ]
    write_text(folder / "overlap.md", "\n\n".join(parts) + "\n")
    write_text(folder / "overlap.json", json.dumps(_numbers(streams, shares), indent=2) + "\n")


def _is_training(name: str) -> bool:
    return name.endswith("/train")


def _summary(streams: dict[str, int], evaluation: Sequence[Share]) -> str:
    sets = [name for name in streams if not _is_training(name)]
    touched = {share.of for share in evaluation if share.duplicates}
    return (
        f"{sum(streams.values()):,} examples of {len(streams) - len(sets)} training sets and {len(sets)} evaluation "
        f"sets. **{len(touched)} of the {len(sets)} evaluation sets have examples that a training set has, too.**"
    )


def _table(head: str, shares: Sequence[Share]) -> str:
    rows = []
    shown = [share for share in shares if share.duplicates or share.any >= _SMALL]
    for share in shown:
        counts = (f"{count:,}" for count in (share.exact, share.near, share.text))
        rows.append((share.of, f"{share.examples:,}", share.found_in, *counts, f"{100 * share.duplicates:.1f} %"))
    columns = (head, "examples", "found in", *KINDS, "exact or near")
    table = markdown_table(columns, rows, "lrlrrrr")
    left = len(shares) - len(shown)
    note = f"\n\n{left} more pairs share single texts of under {_SMALL:.0%} of the examples: see `overlap.json`."
    return (table if shown else "None.") + (note if left else "")


def _quotations(shares: Sequence[Share], quote: Quote) -> list[str]:
    parts = []
    for kind in KINDS:
        with_kind = [share for share in shares if kind in share.witnesses]
        with_kind.sort(key=lambda share: -getattr(share, kind) / share.examples)
        once = {frozenset((share.of, share.found_in)): share for share in reversed(with_kind)}
        for share in list(once.values())[::-1][:_QUOTED_PAIRS]:
            first, second = share.witnesses[kind]
            lines = [f"**{kind}**: `{share.of}` and `{share.found_in}`", ""]
            lines += [f"- `{share.of}`: {_shorten(quote(first))}", f"- `{share.found_in}`: {_shorten(quote(second))}"]
            parts.append("\n".join(lines))
    return parts or ["None."]


def _shorten(texts: Sequence[str]) -> str:
    short = [" ".join(text.split()) for text in texts[:_QUOTED_TEXTS]]
    short = [f"{text[:_QUOTED_CHARACTERS]}..." if len(text) > _QUOTED_CHARACTERS else text for text in short]
    more = [f"{len(texts) - len(short)} more"] if len(texts) > len(short) else []
    return " / ".join([*(re.sub(r"([\\|*_<`\[])", r"\\\1", f'"{text}"') for text in short), *more])


def _numbers(streams: dict[str, int], shares: Sequence[Share]) -> dict[str, object]:
    pairs = [
        {"of": share.of, "found_in": share.found_in, **{kind: getattr(share, kind) for kind in KINDS}}
        for share in shares
    ]
    return {"similarity": SIMILARITY, "shingle_words": SHINGLE, "examples": streams, "pairs": pairs}
