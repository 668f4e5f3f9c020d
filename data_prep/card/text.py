"""The data card as Markdown and as a page of its own."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from markdown import markdown

from data_prep.card.facts import PAPER_TABLE, StreamFacts, count_as_paper
from data_prep.labels import balance
from recipe.report.markdown import markdown_table
from recipe.tasks.catalogue import PREFINETUNE_TASKS, Family

_WHY_46 = """\
The paper's appendix lists 47 items. Item 9, SuperGLUE, is the umbrella of seven others (BoolQ to COPA, and ReCoRD), \
not a dataset: 46 remain, and those are ours. Its Table 1 also comes to 46, but by counting the umbrella among 26 \
classification datasets and leaving one of the five summarization datasets out (without Multi-News the others have \
524,543 training examples). COPA stands under classification there; it is learned as multiple choice here."""

_LICENCES_NOTE = """\
Licences are the commonly stated ones and were not checked: several datasets are for research or non-commercial use \
only. Read the source's own words before you redistribute data or weights."""

_LENGTHS_NOTE = """\
Lengths are tokens of an example's longest row, with special tokens, after cutting at the store's maximum length."""

_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1150px; margin: 2em auto; padding: 0 1em; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2em; border-bottom: 1px solid #e6e6e6; }
.table { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; }
th, td { padding: 3px 10px; border-bottom: 1px solid #e6e6e6; vertical-align: top; }
th { background: #f6f6f6; } td { font-variant-numeric: tabular-nums; } img { max-width: 100%; }"""


def card_text(title: str, facts: Sequence[StreamFacts], pictures: Sequence[str]) -> str:
    """The card as Markdown.

    Args:
        title: The heading.
        facts: One a stream, in the catalogue's order.
        pictures: Names of the pictures' files, beside the card.
    """
    parts = [f"# {title}", _summary(facts), "## Beside the paper", _paper_table(facts), _WHY_46]
    parts += ["## Sizes and lengths", *(f"![{name.removesuffix('.png')}]({name})" for name in pictures), _LENGTHS_NOTE]
    for family in Family:
        own = [one for one in facts if one.task.family is family]
        if own:
            parts += [f"## {family.value.capitalize()}", _stream_table(own)]
    parts += ["## Sources and licences", _LICENCES_NOTE, _source_table(facts)]
    return "\n\n".join(parts) + "\n"


def card_page(text: str, title: str, folder: Path) -> str:
    """The card as one HTML file that needs no other: pictures are part of it.

    Args:
        text: The card as Markdown.
        folder: Where its pictures are.
    """
    body = markdown(text, extensions=["tables"])
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")

    def inline(match: re.Match[str]) -> str:
        content = base64.b64encode((folder / match[1]).read_bytes()).decode()
        return f'src="data:image/png;base64,{content}"'

    body = re.sub(r'src="([^"]+\.png)"', inline, body)
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    return f'<!DOCTYPE html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _summary(facts: Sequence[StreamFacts]) -> str:
    first = facts[0].manifest
    missing = [key for key in PREFINETUNE_TASKS if key not in {one.stream.task for one in facts}]
    lines = [
        f"{len({one.stream.task for one in facts})} datasets, "
        f"{sum(one.manifest.written for one in facts):,} examples in {len(facts)} streams, "
        f"{sum(one.manifest.tokens for one in facts):,} tokens of `{first.tokenizer}` (fingerprint "
        f"`{first.fingerprint[:8]}`), rows of at most {first.max_length} tokens.",
        f"Not in this store: {', '.join(f'`{key}`' for key in missing)}." if missing else "All 46 datasets are here.",
    ]
    return " ".join(lines)


def _paper_table(facts: Sequence[StreamFacts]) -> str:
    rows = []
    for row in PAPER_TABLE:
        datasets, examples = count_as_paper(list(facts), row)
        name = f"**{row.name}**" if row.family is None else row.name
        rows.append((name, f"{row.datasets}", row.examples, f"{datasets}", f"{examples:,}"))
    head = ("task type", "datasets (paper)", "training examples (paper)", "datasets (here)", "training examples (here)")
    return markdown_table(head, rows, "lrrrr")


def _stream_table(facts: Sequence[StreamFacts]) -> str:
    rows = []
    for one in facts:
        manifest = one.manifest
        dropped = ", ".join(f"{count:,} {reason}" for reason, count in sorted(manifest.dropped.items()))
        counts = [f"{count:,}" for count in (manifest.written, manifest.rows, manifest.tokens)]
        lengths = [f"{one.length(percentile):,}" for percentile in (50, 95, 100)]
        rows.append((one.stream.task, one.stream.split, *counts, *lengths, balance(one.targets), dropped))
    head = ("task", "split", "examples", "rows", "tokens", "p50", "p95", "max", "targets", "dropped")
    return markdown_table(head, rows, "llrrrrrrll")


def _source_table(facts: Sequence[StreamFacts]) -> str:
    rows = []
    for one in facts:
        if any(row[0] == one.stream.task for row in rows):
            continue
        manifest, origin = one.manifest, one.task.origin
        hub = f"`{origin.places[0].repository}` : `{origin.places[0].config}`" if origin.places else "none"
        rows.append((one.stream.task, hub, manifest.source, f"`{manifest.short_revision}`", origin.licence))
    return markdown_table(("task", "dataset on the Hub", "read from", "revision", "licence"), rows, "lllll")
