"""The protocol's report: one story in two forms, whole in itself, and the paper's numbers never taken for ours."""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from statistics import fmean, stdev

import pytest
from matplotlib.image import imread

from recipe.data.manifest import Manifest
from recipe.protocol.compare import Findings, Gain, compare, interval_over_seeds
from recipe.protocol.comparison import Comparison, Run, Seen, Start
from recipe.report.protocol import write_protocol_report
from recipe.report.protocol.document import Chart, Heading, Table, as_markdown, as_page
from recipe.report.protocol.paper import paper_tables
from recipe.report.protocol.score_charts import curves_chart
from recipe.report.protocol.tables import data_table, gain_table
from recipe.report.protocol.task_words import describe_task
from recipe.report.protocol.words import headline
from recipe.report.protocol.write import report_blocks
from recipe.tasks import CATALOGUE, get_task
from recipe.tasks.metrics import build_metrics
from tests.fake_runs import PLAIN, fake_comparison, without

TASKS = ("rte", "copa", "squad")
HOSTILE = "mixed <b>|*</script>"  # a label that each form must show as it is
STARTS = (
    PLAIN,
    Start(
        *("5 tasks", "runs/five", False, 5, None, None, Seen(58, 1_850, 141_815, seconds=360.0)),
        learned=["rte", "copa"],
        configuration="max_duration: 5ep # <b>\n",
    ),
    Start("20 tasks", "runs/twenty", tasks=20, unfinished="stopped at step 400 of 1,000"),
    Start(HOSTILE, "runs/mixed", tasks=20, strategy="mixed"),
    Start("one by one", "runs/dataset", tasks=20, strategy="dataset_homogeneous"),
)
STREAM = Manifest(
    *(2, "rte", "classification", "train", "hub", "train", "0123456789ab" + 28 * "0", "minilm", "1d2387e8", ()),
    *(192, 128, 64, 4, None, 2_493, 2_490, {"empty": 3}, 174_300, 2_490),
)


def quality(task: str, start: Start, fraction: float) -> float:
    return 0.6 + (0.02 if task == "squad" else -0.25 if task == "rte" else 0.3) * (start.tasks or 0) / 20


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    comparison = fake_comparison(TASKS, STARTS, quality, fractions=(0.5, 1.0), examples=60)
    comparison = without(comparison, "copa", "one by one")
    search = [run.result for run in comparison.runs[:2]]
    missing = ["cola from 5 tasks: no shards"]
    return replace(comparison, search=search, missing=missing, data=[STREAM])


@pytest.fixture(scope="module")
def findings(comparison: Comparison) -> Findings:
    return compare(comparison)


@pytest.fixture(scope="module")
def report(comparison: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_protocol_report(tmp_path_factory.mktemp("report"), comparison)


class Page(HTMLParser):
    """A page's elements, headings, tables and chart specs; fails where a tag is not closed in its turn."""

    EMPTY = {"meta", "img", "br", "hr"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.headings: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.kinds: list[str] = []  # of the tables' rows, in order
        self.scripts: list[str] = []
        self.specs: list[dict] = []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.EMPTY:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
            self.kinds.append(dict(attrs).get("class") or "")
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag == "script":
            self.scripts.append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())
        if tag == "script" and self.scripts[-1].startswith("{"):
            self.specs.append(json.loads(self.scripts[-1]))

    def handle_data(self, data: str) -> None:
        if not self.open:
            return
        if self.open[-1] in ("td", "th"):
            self.tables[-1][-1][-1] += data
        elif self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data


def markdown_tables(text: str) -> Iterator[list[list[str]]]:
    """The cells of each table without the marks of Markdown."""
    for block in re.split(r"\n\n+", text):
        lines = block.splitlines()
        if len(lines) > 1 and re.fullmatch(r"[| :-]+", lines[1]):
            yield [[_bare(cell) for cell in re.split(r" \| ", line[2:-2])] for line in [lines[0], *lines[2:]]]


def _bare(cell: str) -> str:
    cell = re.sub(r"^\*(.*[^\\])\*$", r"\1", cell.strip())
    return re.sub(r"\\(.)", r"\1", cell)


def test_the_page_is_well_formed_and_has_every_section(report: Path) -> None:
    page = Page(report.read_text())
    assert page.headings == [
        "Does pre-finetuning help MiniLM?",
        "What is missing or unfinished",
        "How to read it",
        "Gain over MiniLM: which tasks were helped, which were hurt",
        *(start.label for start in STARTS[1:]),
        "Scores",
        "Sentence prediction and SQuAD (the paper's Table 3)",
        "Tasks that the paper's tables do not have",
        "Number of pre-finetuning tasks (the paper's figure 1)",
        "Batching strategies (the paper's figure 2)",
        "Little training data (the paper's figure 3)",
        "Learning curves",
        "What was compared",
        "The tasks",
        "Cost",
        "Make it again",
    ]


def test_the_page_loads_nothing(report: Path) -> None:
    text = report.read_text()
    sources = {"src", "href", "srcset", "data", "poster", "action"}
    attributes = [(name, value) for tag, name, value in Page(text).attributes if (tag, name) != ("a", "href")]  # a link
    loading = [value[:60] for name, value in attributes if name in sources and not value.startswith("data:image/png;")]
    assert not loading
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style and "@import" not in style


def test_markdown_and_page_hold_the_same_tables_and_charts(report: Path) -> None:
    text = report.with_name("report.md").read_text()
    page = Page(report.read_text())
    assert list(markdown_tables(text)) == page.tables
    pictures = re.findall(r"^!\[.+\]\((\S+)\)$", text, flags=re.MULTILINE)
    assert pictures == ["gains.png", "figure1.png", "figure2.png", "figure3.png", "curves.png"]
    assert sorted(path.name for path in report.parent.iterdir()) == sorted([*pictures, "report.html", "report.md"])
    for name in pictures:
        image = imread(report.with_name(name))
        assert image.shape[1] > 600 and image.std() > 0.02


def test_test_scores_have_a_table_of_their_own_and_are_nowhere_else(comparison: Comparison) -> None:
    def tested(run: Run) -> Run:
        if run.result.task != "rte" or run.start != "5 tasks":
            return run
        return replace(run, result=replace(run.result, test_scores={"accuracy": 0.5 + run.result.seed / 100}))

    own = replace(comparison, runs=[tested(run) for run in comparison.runs])
    before, after = (report_blocks(each, compare(each, resamples=10)) for each in (comparison, own))
    added = [block for block in after if block not in before]
    table = added[-1]
    assert isinstance(added[0], Heading) and isinstance(table, Table) and len(added) == 3
    assert table.head == ["start", "rte (accuracy)"]
    cells = {row.cells[0]: row.cells[1] for row in table.rows}
    assert cells["5 tasks"] == "52.0 ± 1.0" and cells[PLAIN.label] == "-" and len(cells) == len(STARTS)


def test_charts_show_the_gains_that_were_found(report: Path, findings: Findings) -> None:
    forest = Page(report.read_text()).specs[0]
    shown = {(row["task"], row["start"]): row for row in forest["data"]["values"]}
    assert shown.keys() == findings.gains.keys()
    for cell, gain in findings.gains.items():
        assert gain.over_seeds is not None
        assert shown[cell]["mean"] == pytest.approx(100 * gain.mean, abs=0.006)
        assert shown[cell]["seeds_low"] == pytest.approx(100 * gain.over_seeds[0], abs=0.006)
        assert shown[cell]["examples_high"] == pytest.approx(100 * gain.over_examples[1], abs=0.006)


def test_figure_1_has_a_point_for_each_number_of_tasks(comparison: Comparison, report: Path) -> None:
    text = report.read_text()
    panels = [spec for spec in Page(text).specs if "layer" in spec and "tasks in pre-finetuning" in json.dumps(spec)]
    assert [panel["title"] for panel in panels] == ["mean of the tasks", "rte, accuracy", "copa, accuracy", "squad, f1"]
    assert [[row["tasks"] for row in panel["data"]["values"]] for panel in panels] == [[0, 5, 20]] * 4
    scores: dict[int, list[float]] = defaultdict(list)
    for run in comparison.runs:
        if run.start == "5 tasks" and run.result.fraction == 1:
            scores[run.result.seed].append(100 * run.result.score)
    means = [fmean(own) for own in scores.values()]
    shown = panels[0]["data"]["values"][1]
    assert shown["mean"] == pytest.approx(fmean(means), abs=0.006)
    assert shown["high"] - shown["mean"] == pytest.approx(stdev(means), abs=0.011)


def test_starts_that_share_a_number_of_tasks_make_no_figure_1() -> None:
    starts = (PLAIN, Start("mt", "runs/mt", tasks=3), Start("meta", "runs/meta", tasks=3), Start("all", "a", tasks=38))
    comparison = fake_comparison(["rte"], starts, quality, seeds=(1,), examples=20)
    names = {block.name for block in report_blocks(comparison, compare(comparison)) if isinstance(block, Chart)}
    assert names == {"gains", "curves"}


def test_helped_and_hurt_are_said_in_words_and_in_the_table(comparison: Comparison, findings: Findings) -> None:
    text = as_markdown(report_blocks(comparison, findings))
    gain = findings.gains["copa", "20 tasks"]
    assert gain.verdict.value == "helped"
    section = text.split("### 20 tasks")[1].split("###")[0]
    assert re.search(rf"\*\*Helped: 1\.\*\* copa \+{100 * gain.mean:.1f} \(.*corrected p 0\.\d+\)\.", section)
    assert f"| copa | helped | +{100 * gain.mean:.1f} |" in section
    assert "**Hurt (negative transfer): 1.** rte -" in section


@pytest.mark.parametrize(
    ("gains", "said"),
    [
        ((0.30, 0.31, 0.32), r"\*\*all is on average \d+\.\d points better than MiniLM\*\* \(95 % interval over seeds"),
        ((0.1, -0.1, 0.02), r"\*\*all shows no clear difference from MiniLM on average\*\* \([+-]\d\.\d points, 95 %"),
        (
            (-0.1,),
            r"\*\*all\*\* is on average \d+\.\d points worse than MiniLM \(too few seeds to tell that from chance\)",
        ),
    ],
)
def test_the_headline_is_bold_only_where_seeds_leave_no_doubt(gains: tuple[float, ...], said: str) -> None:
    comparison = fake_comparison(["rte"], (PLAIN, Start("all", "runs/all")), quality, seeds=(1,), examples=10)
    own = Gain("rte", "all", dict(enumerate(gains)), interval_over_seeds(gains), (-0.1, 0.1), 0.5, 0.5)
    findings = replace(compare(comparison, resamples=10), gains={("rte", "all"): own})
    assert re.search(said, headline(comparison, findings))


def test_the_tables_say_where_the_head_came_along(comparison: Comparison, findings: Findings, report: Path) -> None:
    page = Page(report.read_text())
    tables = [table for table in page.tables if "head" in table[0]]
    assert len(tables) == len(STARTS) - 1
    column = tables[0][0].index("head")
    assert {row[column] for table in tables for row in table[1:]} == {"re-used"}
    new = [replace(run, result=replace(run.result, reused_head=False)) for run in comparison.runs]
    gains = findings.gains_of("5 tasks")
    runs = {cell: [run for run in new if (run.result.task, run.start) == cell] for cell in findings.runs}
    table = gain_table(comparison, gains, replace(findings, runs=runs))
    assert {row.cells[column] for row in table.rows} == {"new"}


def test_each_starts_pre_finetuning_is_told(report: Path) -> None:
    text = report.with_name("report.md").read_text()
    section = text.split("<summary>Pre-finetuning of 5 tasks</summary>")[1].split("</details>")[0]
    assert "It learned rte, copa." in section and "max_duration: 5ep # <b>" in section
    assert text.count("<summary>Pre-finetuning of") == 1, "of the others nothing is known"


def test_each_task_is_described_for_who_does_not_know_its_name(report: Path) -> None:
    text = report.with_name("report.md").read_text()
    hub = "https://huggingface.co/datasets/"
    assert (
        "- **rte**: which of 2 classes a text, or a pair of texts, belongs to (entailment, not\\_entailment), 2,490 "
        f"examples to train on; dataset [nyu-mll/glue]({hub}nyu-mll/glue), rte." in text
    )
    assert "- **squad**: where in a text the answer to a question stands, 87,599 examples" in text
    for key in (*CATALOGUE, "anli_from_sm", "tapt_cola"):
        assert describe_task(get_task(key))


def test_both_halves_of_mnli_are_shown_where_both_are_there() -> None:
    comparison = fake_comparison(["mnli"], (PLAIN,), quality, seeds=(1,), examples=60)
    (run,) = comparison.runs
    for missing in (None, "accuracy_mismatched"):
        scores = run.result.scores | ({missing: math.nan} if missing else {})
        own = replace(comparison, runs=[replace(run, result=replace(run.result, scores=scores))])
        tables = [
            block
            for block in report_blocks(own, Findings({("mnli", "MiniLM"): own.runs}, {}, {}))
            if isinstance(block, Table)
        ]
        names = [name for name in ("accuracy_matched", "accuracy_mismatched") if name != missing]
        assert tables[0].rows[0].cells[2] == " / ".join(f"{100 * scores[name]:.1f}" for name in names)


def test_unfinished_starts_and_missing_runs_are_named(report: Path) -> None:
    text = report.with_name("report.md").read_text()
    assert "**20 tasks is not finished:** stopped at step 400 of 1,000." in text
    assert "Missing: cola from 5 tasks: no shards" in text
    assert "Missing: copa from one by one has no run" in text


def test_cost_is_the_sum_of_runs_and_search(comparison: Comparison, report: Path) -> None:
    cost = next(table for table in Page(report.read_text()).tables if table[0][0] == "runs of")
    counts = [[int(cell.replace(",", "")) for cell in row[1:5]] for row in cost[1:]]
    assert [sum(column) for column in zip(*counts[:-1], strict=True)] == counts[-1]
    everything = [run.result for run in comparison.runs] + list(comparison.search)
    assert counts[-1][3] == sum(result.trained_tokens for result in everything)
    spent = next(table for table in Page(report.read_text()).tables if table[0][0] == "pre-finetuning of")
    assert spent[1:] == [["5 tasks", "58", "1,850", "141,815", "0.10"]]


def test_the_data_card_lists_what_was_read(report: Path) -> None:
    (card,) = (table for table in Page(report.read_text()).tables if "licence" in table[0])
    counts = ["2,490", "2,490", "174,300", "3"]
    assert card[1:] == [["rte", "train", *counts, "hub, train", "0123456789ab", get_task("rte").origin.licence]]


def test_the_data_card_tells_the_shards_of_different_tokenizers_apart(comparison: Comparison) -> None:
    other = replace(STREAM, tokenizer="electra", fingerprint="77aa")
    table = data_table(replace(comparison, data=[STREAM, other]))
    column = list(table.head).index("tokenizer")
    assert [row.cells[column] for row in table.rows] == ["minilm", "electra"]
    assert {len(row.cells) for row in table.rows} == {len(table.head)} == {len(table.alignment)}


def test_the_data_card_says_what_of_an_evaluation_was_dropped(comparison: Comparison) -> None:
    validation = replace(STREAM, split="validation", read=9_535, dropped={"no span": 120, "no answer": 5})
    assert "are not scored" not in as_markdown(report_blocks(comparison, Findings({}, {}, {})))
    own = replace(comparison, data=[STREAM, validation])
    card = as_markdown(report_blocks(own, Findings({}, {}, {}))).split("<summary>Data card</summary>")[1]
    assert "- rte, validation: 125 of 9,535 source rows are not scored (no answer: 5, no span: 120)." in card


def test_every_run_is_listed_with_the_settings_of_its_search(report: Path, comparison: Comparison) -> None:
    table = next(table for table in Page(report.read_text()).tables if "settings" in table[0])
    settings = "lr 3e-05, eps 1e-06, dropout -, new head"
    scores = [f"{100 * run.result.score:.1f}" for run in comparison.runs[:3]]
    assert table[1][:6] == ["rte", "MiniLM", "50 %", settings, "1, 2, 3", f"accuracy {', '.join(scores)}"]
    assert sum(len(row[4].split(", ")) for row in table[1:]) == len(comparison.runs)


def test_only_the_papers_rows_are_marked_as_the_papers(report: Path) -> None:
    page = Page(report.read_text())
    rows = [row for table in page.tables for row in table]
    printed = [row.label for row in paper_tables()[0].rows]
    assert [row[0] for row, kind in zip(rows, page.kinds, strict=True) if kind == "paper"] == printed
    assert all((row[1] == "paper") == (kind == "paper") for row, kind in zip(rows, page.kinds, strict=True))
    labels = [start.label for start in STARTS]
    assert [row[0] for row in rows if row[1] == "run here"] == labels


def test_the_papers_numbers_are_as_printed() -> None:
    """Transcribed a second time from the paper's tables."""
    cells = {
        (table.number, row.label, column.name): cell
        for table in paper_tables()
        for row in table.rows
        for column, cell in zip(table.columns, row.cells, strict=True)
    }
    assert {key[0] for key in cells} == {3, 4, 5, 6}
    for key, printed in {
        (3, "RoBERTa-B", "RTE"): "78.7",
        (3, "RoBERTa-B + MUPPET", "RTE"): "87.8",
        (3, "RoBERTa-L + MUPPET", "SQuAD"): "89.4",
        (3, "MT-DNN", "QQP"): "91.9/89.2",
        (3, "BART + MUPPET", "SQuAD"): "",
        (4, "RoBERTa-L", "BoolQ"): "86.4",
        (4, "BART + MUPPET", "HellaSwag"): "75.9",
        (4, "BART + MUPPET", "CNN/DailyMail"): "44.45/21.25/41.4",
        (4, "PEGASUS", "Reddit TIFU"): "26.63/9.01/21.60",
        (5, "RoBERTa-B + MUPPET", "Parsing"): "94.5",
        (5, "RoBERTa-L + MUPPET", "POS"): "97.9",
        (5, "Pegasus", "PubMed"): "44.53/19.30/40.70",
        (6, "RoBERTa (S,M)", "A1"): "47.6",
        (6, "RoBERTa-MUPPET (S,M,F,ANLI)", "ANLI"): "56.9",
        (6, "InfoBERT (S,M,F,ANLI)", "A3"): "48.6",
    }.items():
        assert cells[key] == printed, key


def test_the_papers_columns_are_tasks_of_the_catalogue() -> None:
    for key in set().union(*(table.tasks for table in paper_tables())):
        assert get_task(key).key == key


def test_table_6_has_a_row_for_each_start_and_what_it_was_trained_on() -> None:
    tuned = Start("pre-finetuned", "runs/all")
    mixes = ["anli_from_sm", "anli_from_smf_anli"]
    comparison = fake_comparison(mixes, (PLAIN, tuned), quality, seeds=(1,), examples=30)
    tables = [block for block in report_blocks(comparison, compare(comparison)) if isinstance(block, Table)]
    (table,) = [one for one in tables if one.head[-1] == "ANLI"]
    ours = {row.cells[0]: row.cells[-1] for row in table.rows if not row.paper}
    assert ours == {
        f"{start.label} ({data})": f"{100 * run.result.scores['accuracy']:.1f}"
        for start in (PLAIN, tuned)
        for data, mix in zip(("S,M", "S,M,F,ANLI"), mixes, strict=True)
        for run in comparison.runs
        if (run.result.task, run.start) == (mix, start.label)
    }
    printed = {row.cells[0] for row in table.rows if row.paper}
    assert printed >= {f"RoBERTa ({data})" for data in ("S,M", "+F", "+F+A1*2", "+F+A1+A2*3", "S,M,F,ANLI")}


def test_several_metrics_stand_in_one_cell_as_the_paper_prints_them() -> None:
    task = get_task("gigaword")
    comparison = fake_comparison(["gigaword"], (PLAIN,), quality, seeds=(1,), examples=10)
    expected = " / ".join(f"{100 * comparison.runs[0].result.scores[n]:.1f}" for n in ("rouge1", "rouge2", "rougeL"))
    tables = [block for block in report_blocks(comparison, compare(comparison)) if isinstance(block, Table)]
    assert list(tables[0].rows[0].cells) == ["MiniLM", "run here", "-", "-", "-", "-", "-", expected, "-"]
    assert set(build_metrics(task)) == {"rouge1", "rouge2", "rougeL"}


def test_a_label_is_shown_as_it_is_and_never_obeyed(report: Path) -> None:
    page = report.read_text()
    assert "<b>|*" not in page
    assert HOSTILE in Page(page).headings
    starts = [row[0] for table in Page(page).tables if "role" in table[0] for row in table]
    assert HOSTILE in starts


def test_a_plain_comparison_has_only_the_charts_that_its_axes_allow() -> None:
    starts = (PLAIN, Start("pre-finetuned", "runs/all", tasks=24))
    comparison = fake_comparison(["rte"], starts, quality, seeds=(1,), examples=20)
    blocks = report_blocks(comparison, compare(comparison))
    assert [block.name for block in blocks if isinstance(block, Chart)] == ["gains", "curves"]
    text = as_markdown(blocks)
    assert "over 1 task and 1 seed:" in text and "interval over seeds" not in text.split("## How to read it")[0]
    assert "missing" not in text.split("## How to read it")[0]


def test_a_score_at_the_end_alone_is_no_learning_curve() -> None:
    starts = (PLAIN, Start("pre-finetuned", "runs/all", tasks=24))
    comparison = fake_comparison(["rte", "copa"], starts, quality, seeds=(1, 2), examples=20)
    once = [
        replace(run, result=replace(run.result, curve=run.result.curve[-1:])) if run.result.task == "rte" else run
        for run in comparison.runs
    ]
    for runs, panels in ((once, ["copa, accuracy"]), ([run for run in once if run.result.task == "rte"], None)):
        chart = curves_chart(replace(comparison, runs=runs), compare(replace(comparison, runs=runs)))
        assert (chart and [panel["title"] for panel in chart.panels]) == panels


def test_a_comparison_without_gains_says_so() -> None:
    start = Start("pre-finetuned", "runs/all")
    comparison = fake_comparison(["rte"], (PLAIN, start), quality, examples=10)
    blocks = report_blocks(without(comparison, "rte", "MiniLM"), Findings({}, {}, {}))
    assert "cannot be told yet: it shares no finished run with MiniLM" in as_markdown(blocks)
    assert not any(isinstance(block, Heading) and block.text.startswith("Gain over") for block in blocks)


def test_a_page_without_charts_needs_no_pictures() -> None:
    assert "<h1>A &amp; B</h1>" in as_page([Heading(1, "A & B")], "A & B", {})
