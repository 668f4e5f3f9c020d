"""The files that the servers of GLUE and SuperGLUE take: names, the examples in each, and how answers are written.

As https://gluebenchmark.com/faq and https://super.gluebenchmark.com/faq say (question 1 of each): names of the files,
ids and labels as in the test files. What they leave open is as in the writer of the benchmarks' authors (nyu-mll/jiant
at 14fae87, jiant/evaluate.py, strict_glue_format): STS-B with three decimals and cut to 0..5, BoolQ's and WiC's "true",
WSC's "True", ReCoRD's number that of the query.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recipe.errors import UserError
from recipe.tasks.catalogue import Task, get_task
from recipe.tasks.task import MOST_UNCONVERTED

Answers = Sequence[tuple[Any, Any]]  # examples' numbers in the benchmark, rising, and their predictions


class LeaderboardError(UserError):
    """Runs that do not answer what the benchmark asks."""


@dataclass(frozen=True)
class BoardFile:
    """One file of a submission.

    Attributes:
        name: Its name in the zip.
        task: Key of the task whose test examples it answers.
        write: Its content.
        split: The source's split, one of those that the task's test split is made of.
    """

    name: str
    task: str
    write: Callable[[Task, Answers], str]
    split: str = "test"

    @property
    def examples(self) -> int:
        """As published."""
        return get_task(self.task).origin.rows[self.split]

    def answers(self, indices: Sequence[Any], predictions: Sequence[Any], references: Sequence[Any]) -> Answers:
        """This file's examples among those of the task's test split; what they are given by is in the split's order."""
        _, parted, group = self.split.partition("_")
        examples = zip(indices, predictions, references, strict=True)
        own = [(index, prediction) for index, prediction, told in examples if not parted or told[1] == group]
        return sorted(own, key=lambda answer: _order(answer[0]))


def _order(index: Any) -> tuple[int, ...]:
    return tuple(index.values()) if isinstance(index, dict) else (index,)


def _table(text: Callable[[Task, Any], Any]) -> Callable[[Task, Answers], str]:
    def write(task: Task, answers: Answers) -> str:
        lines = (f"{index}\t{text(task, prediction)}\n" for index, prediction in answers)
        return "index\tprediction\n" + "".join(lines)

    return write


def _lines(label: Callable[[Task, Any], Any]) -> Callable[[Task, Answers], str]:
    def write(task: Task, answers: Answers) -> str:
        return _json_lines({"idx": index, "label": label(task, prediction)} for index, prediction in answers)

    return write


def _json_lines(records: Iterable[Mapping[str, Any]]) -> str:
    return "".join(f"{json.dumps(record)}\n" for record in records)


def _number(task: Task, prediction: int) -> int:
    return prediction


def _name(task: Task, prediction: int) -> str:
    return task.labels[prediction]


def _small_name(task: Task, prediction: int) -> str:
    return _name(task, prediction).lower()


def _score(task: Task, prediction: float) -> str:
    least, most = task.score_range
    return f"{min(max(prediction, least), most):.3f}"


def _multirc(task: Task, answers: Answers) -> str:
    """A line for each passage: its questions, their answers."""
    passages: dict[int, dict[int, list[dict[str, int]]]] = defaultdict(lambda: defaultdict(list))
    for index, prediction in answers:
        passages[index["paragraph"]][index["question"]].append({"idx": index["answer"], "label": prediction})
    return _json_lines(
        {
            "idx": passage,
            "passage": {"questions": [{"idx": number, "answers": own} for number, own in questions.items()]},
        }
        for passage, questions in passages.items()
    )


def _record(task: Task, answers: Answers) -> str:
    return _json_lines({"idx": index["query"], "label": prediction} for index, prediction in answers)


NAMES, NUMBERS = _table(_name), _table(_number)
BENCHMARKS: Mapping[str, Sequence[BoardFile]] = {
    "glue": (
        BoardFile("CoLA.tsv", "cola", NUMBERS),
        BoardFile("SST-2.tsv", "sst2", NUMBERS),
        BoardFile("MRPC.tsv", "mrpc", NUMBERS),
        BoardFile("QQP.tsv", "qqp", NUMBERS),
        BoardFile("STS-B.tsv", "stsb", _table(_score)),
        BoardFile("MNLI-m.tsv", "mnli", NAMES, "test_matched"),
        BoardFile("MNLI-mm.tsv", "mnli", NAMES, "test_mismatched"),
        BoardFile("QNLI.tsv", "qnli", NAMES),
        BoardFile("RTE.tsv", "rte", NAMES),
        BoardFile("WNLI.tsv", "wnli", NUMBERS),
        BoardFile("AX.tsv", "ax", NAMES),
    ),
    "superglue": (
        BoardFile("BoolQ.jsonl", "boolq", _lines(_small_name)),
        BoardFile("CB.jsonl", "cb", _lines(_name)),
        BoardFile("COPA.jsonl", "copa", _lines(_number)),
        BoardFile("MultiRC.jsonl", "multirc", _multirc),
        BoardFile("ReCoRD.jsonl", "record", _record),
        BoardFile("RTE.jsonl", "rte", _lines(_name)),  # GLUE's examples in GLUE's order
        BoardFile("WiC.jsonl", "wic", _lines(_small_name)),
        BoardFile("WSC.jsonl", "wsc", _lines(_name)),
        BoardFile("AX-b.jsonl", "axb", _lines(_name)),
        BoardFile("AX-g.jsonl", "axg", _lines(_name)),
    ),
}


def complete(file: BoardFile, answers: Answers, partial: bool = False) -> tuple[Answers, str | None]:
    """Answers for all examples, and what is to be said about those that the store did not have.

    Some rows cannot become an example (a pronoun that is not where its index says): the commonest prediction answers
    them, where examples are simply numbered.

    Raises:
        LeaderboardError: Unless ``partial``: more are missing than data_prep leaves out, or which ones is unknown.
    """
    missing = file.examples - len(answers)
    if missing == 0:
        return answers, None
    counted = f"{file.name}: {len(answers):,} of {file.examples:,} examples have a prediction"
    known = dict(answers) if all(isinstance(index, int) for index, _ in answers) else {}
    if known and 0 < missing <= MOST_UNCONVERTED * file.examples and max(known) < file.examples:
        commonest = Counter(known.values()).most_common(1)[0][0]
        filled = [(index, known.get(index, commonest)) for index in range(file.examples)]
        return filled, f"{counted}; the others have the commonest one"
    if not partial:
        raise LeaderboardError(
            f"{counted}: convert the whole test split of {file.task}, without --limit, or write a zip to look at with "
            "--partial"
        )
    return answers, counted
