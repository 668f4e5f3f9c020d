"""Classification: one text or a pair of texts, and a class in the Hub's integer order."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping

from data_prep.adapters.adapter import (
    NO_LABEL,
    SOURCE_SPLIT,
    AdapterFor,
    Row,
    adapter_of,
    find_class,
    read_class,
    read_text,
)
from data_prep.examples import ClassificationExample, InvalidData, Unusable
from recipe.tasks import Task


def _texts(
    first: str,
    second: str | None = None,
    label: str = "label",
    clean: Callable[[str], str] = str,
    expected: Mapping[str, str] | None = None,
) -> AdapterFor:
    """Texts and label each in a column of their own."""

    def convert(task: Task, row: Row) -> ClassificationExample:
        return ClassificationExample(
            text=read_text(clean(row[first] or "")),
            second_text=None if second is None else read_text(clean(row[second] or "")),
            label=find_class(task, row[label]),
        )

    return adapter_of((first, label) if second is None else (first, second, label), convert, expected)


def _without_line_break_tags(text: str) -> str:
    return re.sub(r"(?:<br\s*/?>\s*)+", "\n", text)


def _without_csv_escapes(text: str) -> str:
    """Yelp keeps its CSV file's escapes: literal ``\\n`` and doubled, sometimes backslashed quotes."""
    return re.sub(r'\\?""|\\"', '"', text.replace("\\n", "\n"))


def _without_wire_escapes(text: str) -> str:
    """AG News keeps its feed's character references, which lost their ampersand, and backslashes for line breaks."""
    text = re.sub(r" ?&?(#\d+;)", r"&\1", text)
    return html.unescape(re.sub(r"&?\b(quot|amp|apos|lt|gt);", r"&\1;", text)).replace("\\", " ")


def _multirc(task: Task, row: Row) -> ClassificationExample:
    return ClassificationExample(
        text=read_text(row["paragraph"]),
        second_text=f"{read_text(row['question'])} {read_text(row['answer'])}",
        label=find_class(task, row["label"]),
        group=f"{row['idx']['paragraph']}-{row['idx']['question']}",
    )


def _eraser_multi_rc(task: Task, row: Row) -> ClassificationExample:
    """``query_and_answer`` is one string, ``question || answer``."""
    question, bars, answer = read_text(row["query_and_answer"]).partition("||")
    if not bars:
        raise InvalidData(f"task {task.key}: query_and_answer has no '||' between question and answer: {question!r}")
    return ClassificationExample(
        text=read_text(row["passage"]),
        second_text=f"{read_text(question)} {read_text(answer)}",
        label=read_class(task, row["label"]),
    )


def _marked(text: str, start: int, end: int) -> str:
    """The text with asterisks around ``text[start:end]``, so that an encoder can see which word is meant."""
    return f"{text[:start]}*{text[start:end]}*{text[end:]}".strip()


def _wic(task: Task, row: Row) -> ClassificationExample:
    """The target word stands in front; both of its uses (character offsets, end exclusive) are marked."""
    first, second = (_wic_use(task, row, number) for number in "12")
    return ClassificationExample(
        text=f"{read_text(row['word'])}: {first}", second_text=second, label=find_class(task, row["label"])
    )


def _wic_use(task: Task, row: Row, number: str) -> str:
    sentence, start, end = (row[name + number] for name in ("sentence", "start", "end"))
    read_text(sentence)
    if not 0 <= start < end <= len(sentence):
        raise InvalidData(
            f"task {task.key}: start{number}={start}, end{number}={end} is no span of sentence{number} "
            f"({len(sentence)} characters)"
        )
    return _marked(sentence, start, end)


def _wsc(task: Task, row: Row) -> ClassificationExample:
    """The pronoun (span 2) is marked in the text; the noun (span 1) that it may stand for is the second text.

    ``span2_index`` counts white-space separated tokens, and the token may carry punctuation that the span has not.
    """
    text, pronoun = read_text(row["text"]), read_text(row["span2_text"])
    tokens = [match.span() for match in re.finditer(r"\S+", text)]
    if not 0 <= row["span2_index"] < len(tokens):
        raise InvalidData(f"task {task.key}: span2_index {row['span2_index']} is outside 0..{len(tokens) - 1}")
    token_start, token_end = tokens[row["span2_index"]]
    start = text.lower().find(pronoun.lower(), token_start)
    if not token_start <= start < token_end:
        raise Unusable("the pronoun is not where its index says")
    return ClassificationExample(
        text=_marked(text, start, start + len(pronoun)),
        second_text=read_text(row["span1_text"]),
        label=find_class(task, row["label"]),
    )


def _scitail(task: Task, row: Row) -> ClassificationExample:
    """``gold_label`` is the label's name, not its number."""
    name = row["gold_label"]
    if name in (None, "", "-"):
        raise Unusable(NO_LABEL)
    if name not in task.labels:
        raise InvalidData(f"task {task.key}: gold_label {name!r} is none of {', '.join(task.labels)}")
    return ClassificationExample(
        text=read_text(row["sentence1"]), second_text=read_text(row["sentence2"]), label=task.labels.index(name)
    )


def _anli(task: Task, row: Row) -> ClassificationExample:
    """Three rounds, each against a stronger model: evaluation tells them apart (arXiv 1910.14599)."""
    return ClassificationExample(
        text=read_text(row["premise"]),
        second_text=read_text(row["hypothesis"]),
        label=read_class(task, row["label"]),
        group=row[SOURCE_SPLIT].rpartition("_")[2],
    )


def _mnli(task: Task, row: Row) -> ClassificationExample:
    """Evaluation tells the genres of the training data (matched) from others (mismatched)."""
    return ClassificationExample(
        text=read_text(row["premise"]),
        second_text=read_text(row["hypothesis"]),
        label=find_class(task, row["label"]),
        group=row[SOURCE_SPLIT].rpartition("_")[2],
    )


_FEVER_LABELS = {"SUPPORTS": "entailment", "NOT ENOUGH INFO": "neutral", "REFUTES": "contradiction"}


def _fever_nli(task: Task, row: Row) -> ClassificationExample:
    """The Hub's columns are swapped: ``premise`` holds the claim, ``hypothesis`` the evidence that it follows from."""
    label, verdict = read_class(task, row["label"]), row["fever_gold_label"]
    if _FEVER_LABELS.get(verdict) != task.labels[label]:
        raise InvalidData(f"task {task.key}: label {label} ({task.labels[label]}) but fever_gold_label {verdict!r}")
    return ClassificationExample(read_text(row["hypothesis"]), label, read_text(row["premise"]))


DIAGNOSTICS: dict[str, AdapterFor] = {
    "ax": _texts("premise", "hypothesis"),
    "axb": _texts("sentence1", "sentence2"),
    "axg": _texts("premise", "hypothesis"),
}

TABLE: dict[str, AdapterFor] = {
    "cola": _texts("sentence"),
    "sst2": _texts("sentence"),
    "mrpc": _texts("sentence1", "sentence2"),
    "qqp": _texts("question1", "question2"),
    "mnli": adapter_of(("premise", "hypothesis", "label", SOURCE_SPLIT), _mnli),
    "qnli": _texts("question", "sentence"),
    "rte": _texts("sentence1", "sentence2"),
    "wnli": _texts("sentence1", "sentence2"),
    "boolq": _texts("passage", "question"),
    "multirc": adapter_of(("paragraph", "question", "answer", "idx", "label"), _multirc),
    "wic": adapter_of(("word", "sentence1", "sentence2", "start1", "start2", "end1", "end2", "label"), _wic),
    "wsc": adapter_of(("text", "span2_index", "span1_text", "span2_text", "label"), _wsc),
    "cb": _texts("premise", "hypothesis"),
    "ag_news": _texts("text", clean=_without_wire_escapes),
    "imdb": _texts("text", clean=_without_line_break_tags),
    "multi_nli": _texts("premise", "hypothesis"),
    "snli": _texts("premise", "hypothesis", expected={NO_LABEL: "pairs whose annotators had no majority"}),
    "hans": _texts("premise", "hypothesis"),
    "rotten_tomatoes": _texts("text"),
    "yelp_polarity": _texts("text", clean=_without_csv_escapes),
    "eraser_multi_rc": adapter_of(("passage", "query_and_answer", "label"), _eraser_multi_rc),
    "wiki_qa": _texts("question", "answer"),
    "trec": _texts("text", label="coarse_label"),
    "scitail": adapter_of(("sentence1", "sentence2", "gold_label"), _scitail),
    "anli": adapter_of(("premise", "hypothesis", "label", SOURCE_SPLIT), _anli),
    **dict.fromkeys(("anli_r1", "anli_r2"), _texts("premise", "hypothesis")),
    "fever_nli": adapter_of(("premise", "hypothesis", "label", "fever_gold_label"), _fever_nli),
    **dict.fromkeys(("citation_intent", "sciie", "chemprot", "hyperpartisan"), _texts("text")),
}
