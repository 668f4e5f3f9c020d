"""A report as a list of blocks, and its two renderings: a page that needs no other file, and Markdown with pictures.

Both show the same blocks, so that they cannot tell different stories.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias

import vl_convert
from markdown import Markdown
from PIL import Image

from recipe.report.markdown import markdown_table

Spec: TypeAlias = dict[str, Any]  # a Vega-Lite chart without its width

_STYLE = Path(__file__).with_name("page.css")
_PANEL = {1: 640, 2: 300}  # width of a panel in a picture, by panels in a row
_LOOK = {
    "font": "system-ui, 'Liberation Sans', Arial, sans-serif",
    "background": "white",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "#222222",
        "titleColor": "#222222",
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "gridColor": "#E6E6E6",
        "domainColor": "#8A8A8A",
        "tickColor": "#8A8A8A",
        "labelLimit": 150,
    },
    "legend": {"labelColor": "#222222", "titleColor": "#222222", "labelFontSize": 11, "labelLimit": 260},
    "title": {"color": "#222222", "fontSize": 12, "anchor": "start"},
}


@dataclass(frozen=True)
class Heading:
    """A heading, level 1 the report's own."""

    level: int
    text: str


@dataclass(frozen=True)
class Text:
    """Paragraphs and lists, in Markdown; names from outside go through :func:`plain`."""

    markdown: str


@dataclass(frozen=True)
class Row:
    """A table's row of plain cells; ``paper``: its numbers are the paper's, not ours."""

    cells: Sequence[str]
    paper: bool = False


@dataclass(frozen=True)
class Table:
    """Plain cells; ``alignment`` has a letter for each column, ``l`` left or ``r`` right."""

    head: Sequence[str]
    rows: Sequence[Row]
    alignment: str


@dataclass(frozen=True)
class Chart:
    """One or several panels that share a picture.

    Attributes:
        name: Of the picture's file, without ending.
        panels: One chart each; parameters have different names in different panels.
        caption: What it shows and how to read it, for everyone, plain text.
    """

    name: str
    panels: Sequence[Spec]
    caption: str


@dataclass(frozen=True)
class Code:
    """Text as it is."""

    text: str


@dataclass(frozen=True)
class Details:
    """Blocks behind a click."""

    summary: str
    blocks: Sequence[Block]


Block: TypeAlias = "Heading | Text | Table | Chart | Code | Details"


def plain(text: str) -> str:
    """A name from outside, such that Markdown shows it as it is."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", text)


def charts(blocks: Sequence[Block]) -> list[Chart]:
    """The charts among the blocks, in order."""
    return [block for block in blocks if isinstance(block, Chart)]


def chart_picture(chart: Chart) -> bytes:
    """The chart as PNG, at twice the size of a usual screen; few colours, so that it takes a tenth of the room."""
    columns = min(2, len(chart.panels))
    panels = [{**panel, "width": _PANEL[columns]} for panel in chart.panels]
    spec = panels[0] if len(panels) == 1 else {"concat": panels, "columns": columns}
    drawn = Image.open(BytesIO(vl_convert.vegalite_to_png({**spec, "config": _LOOK}, scale=2)))
    smaller = BytesIO()
    drawn.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(smaller, format="PNG", optimize=True)
    return smaller.getvalue()


def as_markdown(blocks: Sequence[Block]) -> str:
    """The blocks as Markdown; charts are pictures beside it."""
    return "\n\n".join(map(_markdown_block, blocks)) + "\n"


def as_page(blocks: Sequence[Block], title: str, pictures: Mapping[str, bytes]) -> str:
    """The blocks as one HTML file: nothing is loaded from elsewhere, and without scripts pictures stand for the charts.

    Args:
        blocks: In order.
        title: Of the window.
        pictures: PNG of each chart, by its name.
    """
    body = "\n".join(_html_block(block, pictures) for block in blocks)
    return _PAGE.format(
        title=html.escape(title),
        style=_STYLE.read_text(encoding="utf-8"),
        body=body,
        library=_chart_library(),
        look=_script_json(_LOOK),
    )


_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{library}</script>
<script>
const look = {look};
for (const panel of document.querySelectorAll(".panel")) {{
  const spec = JSON.parse(panel.querySelector("script").textContent);
  vegaEmbed(panel, {{...spec, width: "container", config: look}}, {{renderer: "svg", actions: false}});
}}
</script>
</body>
</html>
"""


def _markdown_block(block: Block) -> str:
    match block:
        case Heading(level, text):
            return f"{'#' * level} {plain(text)}"
        case Text(markdown):
            return markdown
        case Table():
            return markdown_table(block.head, list(map(_markdown_cells, block.rows)), block.alignment)
        case Chart(name, _, caption):
            return f"![{plain(caption)}]({name}.png)\n\n*{plain(caption)}*"
        case Code(text):
            return f"```\n{text.rstrip()}\n```"
        case Details(summary, blocks):
            inside = "\n\n".join(map(_markdown_block, blocks))
            return f"<details>\n<summary>{html.escape(summary)}</summary>\n\n{inside}\n\n</details>"


def _markdown_cells(row: Row) -> list[str]:
    cells = [plain(cell) for cell in row.cells]
    return [f"*{cell}*" if cell else "" for cell in cells] if row.paper else cells


def _html_block(block: Block, pictures: Mapping[str, bytes]) -> str:
    match block:
        case Heading(level, text):
            return f"<h{level}>{html.escape(text)}</h{level}>"
        case Text(markdown):
            return _html_of(markdown)
        case Table():
            return _html_table(block)
        case Chart():
            return _html_chart(block, pictures[block.name])
        case Code(text):
            return f'<pre tabindex="0"><code>{html.escape(text.rstrip())}</code></pre>'
        case Details(summary, blocks):
            inside = "\n".join(_html_block(inner, pictures) for inner in blocks)
            return f"<details>\n<summary>{html.escape(summary)}</summary>\n{inside}\n</details>"


def _html_table(table: Table) -> str:
    sides = ["" if side == "l" else ' class="number"' for side in table.alignment]
    head = "".join(f'<th scope="col"{side}>{html.escape(n)}</th>' for side, n in zip(sides, table.head, strict=True))
    rows = []
    for row in table.rows:
        first, *others = (html.escape(cell) for cell in row.cells)
        cells = "".join(f"<td{side}>{cell}</td>" for side, cell in zip(sides[1:], others, strict=True))
        kind = ' class="paper"' if row.paper else ""
        rows.append(f'<tr{kind}><th scope="row">{first}</th>{cells}</tr>')
    body = "\n".join(rows)
    return (
        f'<div class="table" tabindex="0"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n'
        "</table></div>"
    )


def _html_chart(chart: Chart, picture: bytes) -> str:
    caption = html.escape(chart.caption)
    panels = "\n".join(
        f'<div class="panel"><script type="application/json">{_script_json(panel)}</script></div>'
        for panel in chart.panels
    )
    source = f"data:image/png;base64,{base64.b64encode(picture).decode()}"
    kind = "panels several" if len(chart.panels) > 1 else "panels"
    return (
        f'<figure>\n<div class="{kind}">\n{panels}\n</div>\n'
        f'<noscript><img src="{source}" alt="{caption}"></noscript>\n<figcaption>{caption}</figcaption>\n</figure>'
    )


def _script_json(value: object) -> str:
    """JSON that cannot end the script element around it."""
    return json.dumps(value).replace("<", "\\u003c")


def _html_of(markdown: str) -> str:
    """Markdown as HTML; HTML in it is shown, not obeyed."""
    converter = Markdown(extensions=["tables", "fenced_code"])
    converter.preprocessors.deregister("html_block")
    converter.inlinePatterns.deregister("html")
    return (
        converter.convert(markdown)
        .replace("<table>", '<div class="table"><table>')
        .replace("</table>", "</table></div>")
    )


@lru_cache(maxsize=1)
def _chart_library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, from the installed package: no network."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
