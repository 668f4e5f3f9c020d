"""What the report says in sentences: the result, the words it uses, and which tasks were helped or hurt."""

from __future__ import annotations

from collections.abc import Sequence

from recipe.protocol.bootstrap import RESAMPLES, Interval
from recipe.protocol.compare import SIGNIFICANT, Findings, Gain, Spread, Verdict
from recipe.protocol.comparison import Comparison
from recipe.report.numbers import percent, points
from recipe.report.protocol.document import Block, Heading, Text, plain
from recipe.report.protocol.numbers import counted, interval, p_value

GLOSSARY = f"""\
- **Pre-finetuning** trains a pretrained model (the *backbone*) on many tasks at once, before it is **fine-tuned** on \
the one task that it is wanted for. A **start** is the weights that fine-tuning begins with. Every start is fine-tuned \
in the same way, with the same search for settings and the same seeds; only the start differs: its weights and, where \
the tables say *re-used*, the task's head that it brings. Any other head is new.
- **Score**: the task's usual measure on its validation examples, in per cent (correlations times 100). **Gain**: \
score minus the reference's score, in percentage points.
- As in the paper, the validation examples also choose the settings and the best step, so all scores are a little too \
good, for every start alike.
- A **seed** is one throw of the dice: the order of the data, the new head's first weights. ± is the standard \
deviation over seeds.
- **Over seeds**: the 95 % interval of the mean gain if other seeds had been drawn (Student's t of the differences \
seed by seed). **Over examples**: the 95 % interval if other validation examples had been drawn (paired bootstrap, \
{RESAMPLES:,} draws, the same examples for both starts; Koehn 2004). **p**: how often chance alone would give so large \
a difference (the same draws; Berg-Kirkpatrick et al. 2012); **corrected**: for the number of tasks (Holm 1979).
- The rule: a task was **helped** or **hurt** (*negative transfer*) only if the interval over seeds leaves zero out \
and the corrected p is below {SIGNIFICANT}. Otherwise there is **no clear difference**. With a single seed there is no \
interval over seeds, and p decides alone."""

TEST = (
    "Means ± standard deviations over seeds on the labelled examples of the test split, which chose nothing: settings "
    "and steps were chosen on the validation split, and gains and verdicts are told from it."
)

DATA = (
    "The shards that fine-tuning and scoring read: all examples of a split, of which a run may take a part; tokens, "
    "cut at the store's maximum length; source rows dropped, because they could not be converted (`python -m data_prep "
    "card` says more). Scores are of the examples that are left: they compare starts, but not with numbers that count "
    "a dropped row as wrong. Licences are the commonly stated ones and were not checked."
)

_VERDICTS = {
    Verdict.HELPED: "Helped",
    Verdict.HURT: "Hurt (negative transfer)",
    Verdict.UNCLEAR: "No clear difference",
}


def headline(comparison: Comparison, findings: Findings) -> str:
    """What was compared and what came out, a sentence for each start."""
    reference = plain(comparison.reference.label)
    others = [start.label for start in comparison.starts if not start.reference]
    outcomes = [_outcome(findings, label, reference) for label in others]
    if len(others) == 1:
        return f"After fine-tuning, {outcomes[0]}"
    compared = counted(len(comparison.starts), "start")
    first = f"{compared} were fine-tuned on the same {counted(len(comparison.tasks), 'task')}. After it:"
    return "\n".join([first, "", *(f"- {outcome}" for outcome in outcomes)])


def caveats(comparison: Comparison, findings: Findings) -> list[Block]:
    """Unfinished starts and missing runs; nothing where there are none."""
    lines = [
        f"**{plain(start.label)} is not finished:** {plain(start.unfinished)}. Its scores may still change."
        for start in comparison.starts
        if start.unfinished is not None
    ]
    lines += [f"Missing: {plain(line)}" for line in (*comparison.missing, *_uncovered(comparison, findings))]
    if not lines:
        return []
    return [Heading(2, "What is missing or unfinished"), Text("\n".join(f"- {line}" for line in lines))]


def left_out(comparison: Comparison) -> Text | None:
    """Which evaluations miss rows of their source, and why; None where none does."""
    lines = []
    for stream in comparison.data:
        dropped = sum(stream.dropped.values())
        if stream.split == "train" or not dropped:
            continue
        reasons = ", ".join(f"{plain(reason)}: {count:,}" for reason, count in sorted(stream.dropped.items()))
        lines.append(
            f"- {plain(stream.task)}, {stream.split}: {dropped:,} of {counted(stream.read, 'source row')} are not "
            f"scored ({reasons})."
        )
    return Text("\n".join(dict.fromkeys(lines))) if lines else None  # the shards of several tokenizers lose the same


def verdicts(comparison: Comparison, findings: Findings, gains: Sequence[Gain]) -> Text:
    """Which tasks a start helped or hurt, with the evidence, and which it left as they were."""
    lines = []
    for verdict, name in _VERDICTS.items():
        own = sorted((gain for gain in gains if gain.verdict is verdict), key=lambda gain: gain.mean, reverse=True)
        if verdict is Verdict.UNCLEAR:
            evidence = ", ".join(f"{plain(gain.task)} {points(gain.mean)}" for gain in own)
        else:
            evidence = "; ".join(_evidence(comparison, findings, gain) for gain in own)
        lines.append(f"- **{name}: {len(own)}.** {evidence}{'.' if own else ''}".rstrip())
    return Text("\n".join(lines))


def _outcome(findings: Findings, label: str, reference: str) -> str:
    found = findings.mean_gain(label)
    if found is None:
        return f"**{plain(label)}** cannot be told yet: it shares no finished run with {reference}."
    mean, over_seeds = found
    gains = findings.gains_of(label)
    counts = {verdict: sum(gain.verdict is verdict for gain in gains) for verdict in Verdict}
    return (
        f"{_on_average(plain(label), mean, over_seeds, reference)}, over {counted(len(gains), 'task')} and "
        f"{_seeds(gains)}: {counts[Verdict.HELPED]} helped, {counts[Verdict.HURT]} hurt, {counts[Verdict.UNCLEAR]} "
        "without a clear difference."
    )


def _on_average(label: str, mean: float, over_seeds: Interval | None, reference: str) -> str:
    """Bold is only what other seeds would say again."""
    better = f"on average {abs(100 * mean):.1f} points {'better' if mean >= 0 else 'worse'} than {reference}"
    if over_seeds is None:
        return f"**{label}** is {better} (too few seeds to tell that from chance)"
    bounds = f"95 % interval over seeds {interval(over_seeds)}"
    if over_seeds[0] <= 0 <= over_seeds[1]:
        return f"**{label} shows no clear difference from {reference} on average** ({points(mean)} points, {bounds})"
    return f"**{label} is {better}** ({bounds})"


def _evidence(comparison: Comparison, findings: Findings, gain: Gain) -> str:
    # A gain has runs on both sides, on the seeds that it is over.
    before, after = (_spread(findings, gain.task, label).mean for label in (comparison.reference.label, gain.start))
    bounds = f"over seeds {interval(gain.over_seeds)}, " if gain.over_seeds else "one seed, "
    return (
        f"{plain(gain.task)} {points(gain.mean)} ({percent(before)} to {percent(after)}; {bounds}"
        f"corrected p {p_value(gain.p_corrected)})"
    )


def _spread(findings: Findings, task: str, start: str) -> Spread:
    found = findings.spread(task, start)
    assert found is not None
    return found


def _uncovered(comparison: Comparison, findings: Findings) -> list[str]:
    """Cells without a run, or without a seed that the task's other cells have."""
    lines = []
    for task in comparison.tasks:
        seeds = {
            start.label: {run.result.seed for run in findings.runs.get((task.key, start.label), ())}
            for start in comparison.starts
        }
        everyone = set().union(*seeds.values())
        for label, own in seeds.items():
            if not own:
                lines.append(f"{task.key} from {label} has no run")
            elif everyone - own:
                absent = ", ".join(map(str, sorted(everyone - own)))
                lines.append(f"{task.key} from {label} lacks seed {absent}; its gain is over the seeds in common")
    return lines


def _seeds(gains: Sequence[Gain]) -> str:
    counts = sorted({len(gain.by_seed) for gain in gains})
    if len(counts) == 1:
        return counted(counts[0], "seed") + (" each" if counts[0] > 1 else "")
    return f"{counts[0]} to {counts[-1]} seeds"
