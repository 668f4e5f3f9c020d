"""The report's files: ``report.html``, which needs no other, and ``report.md`` with its pictures."""

from __future__ import annotations

from pathlib import Path

from recipe.protocol.compare import Findings, compare
from recipe.protocol.comparison import Comparison
from recipe.report.files import write_beside, write_text
from recipe.report.protocol import gain_charts, score_charts, tables, words
from recipe.report.protocol.document import (
    Block,
    Code,
    Details,
    Heading,
    Text,
    as_markdown,
    as_page,
    chart_picture,
    charts,
    plain,
)
from recipe.report.protocol.task_words import describe_tasks


def write_protocol_report(folder: Path, comparison: Comparison) -> Path:
    """Writes ``report.html``, ``report.md`` and a PNG for each chart.

    Args:
        folder: Made if it does not exist; files of an earlier report are replaced.
        comparison: What was run.

    Returns:
        The path of ``report.html``, which is written last.

    Raises:
        ComparisonError: The runs cannot be compared, see :func:`recipe.protocol.compare.compare`.
    """
    blocks = report_blocks(comparison, compare(comparison))
    pictures = {chart.name: chart_picture(chart) for chart in charts(blocks)}
    for name, picture in pictures.items():
        write_beside(folder / f"{name}.png", lambda partial, picture=picture: partial.write_bytes(picture))
    write_text(folder / "report.md", as_markdown(blocks))
    report = folder / "report.html"
    write_text(report, as_page(blocks, comparison.title, pictures))
    return report


def report_blocks(comparison: Comparison, findings: Findings) -> list[Block]:
    """The whole report, in order."""
    blocks: list[Block] = [Heading(1, comparison.title), Text(words.headline(comparison, findings))]
    blocks += words.caveats(comparison, findings)
    blocks += [Heading(2, "How to read it"), Text(words.GLOSSARY)]
    blocks += _gains(comparison, findings)
    blocks += [Heading(2, "Scores"), *tables.score_tables(comparison, findings)]
    if (tested := tables.test_table(comparison, findings)) is not None:
        blocks += [Heading(2, "Scores on test splits"), Text(words.TEST), tested]
    blocks += _figures(comparison, findings)
    blocks += [Heading(2, "What was compared"), tables.start_table(comparison), *_prefinetuning(comparison)]
    blocks += [Heading(3, "The tasks"), describe_tasks(comparison.tasks)]
    blocks += [Heading(2, "Cost"), Text(tables.cost_sentence(comparison)), tables.cost_table(comparison)]
    if (pretraining := tables.pretraining_table(comparison)) is not None:
        blocks += [Text("What was spent before, on the starts that a run of this recipe made:"), pretraining]
    blocks += [Heading(2, "Make it again"), Code(comparison.command)]
    blocks += [
        Details("Configuration", [Code(comparison.configuration)]),
        Details("Every run, with the settings that the search chose", [tables.run_table(comparison)]),
    ]
    if comparison.data:
        left_out = words.left_out(comparison)
        card: list[Block] = [Text(words.DATA), tables.data_table(comparison), *([left_out] if left_out else [])]
        blocks += [Details("Data card", card)]
    return blocks


def _prefinetuning(comparison: Comparison) -> list[Block]:
    """Behind a click for each start: the tasks that it learned before, and how."""
    blocks: list[Block] = []
    for start in comparison.starts:
        inside: list[Block] = []
        if start.learned:
            inside.append(Text(f"It learned {', '.join(map(plain, start.learned))}."))
        if start.configuration is not None:
            inside.append(Code(start.configuration))
        if inside:
            blocks.append(Details(f"Pre-finetuning of {start.label}", inside))
    return blocks


def _gains(comparison: Comparison, findings: Findings) -> list[Block]:
    if not findings.gains:
        return []
    blocks: list[Block] = [
        Heading(2, f"Gain over {comparison.reference.label}: which tasks were helped, which were hurt"),
        gain_charts.forest_chart(comparison, findings),
    ]
    for start in comparison.starts:
        gains = findings.gains_of(start.label)
        if gains:
            blocks += [Heading(3, start.label), words.verdicts(comparison, findings, gains)]
            blocks.append(tables.gain_table(comparison, gains, findings))
    return blocks


def _figures(comparison: Comparison, findings: Findings) -> list[Block]:
    figures = {
        "Number of pre-finetuning tasks (the paper's figure 1)": score_charts.scale_chart(comparison, findings),
        "Batching strategies (the paper's figure 2)": gain_charts.strategy_chart(comparison, findings),
        "Little training data (the paper's figure 3)": score_charts.low_resource_chart(comparison, findings),
        "Learning curves": score_charts.curves_chart(comparison, findings),
    }
    return [block for name, chart in figures.items() if chart is not None for block in (Heading(2, name), chart)]
