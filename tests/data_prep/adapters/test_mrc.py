"""Question answering rows: every answer is a span of its context, or the row is unusable."""

from __future__ import annotations

from typing import Any

import pytest

from data_prep.adapters import get_adapter
from data_prep.adapters.mrc import find_spans
from data_prep.examples import SpanExample, Unusable


def test_found_answers_are_whole_words_and_whole_numbers() -> None:
    context = "In 13 games, 3 of 1.3 and 3,000 art artists (Art) won 3."
    assert [context[s:e] for s, e in find_spans(context, ["3"])] == ["3", "3"]
    assert [context[s:e] for s, e in find_spans(context, ["art", "artists"], ignore_case=True)] == [
        "art",
        "artists",
        "Art",
    ]
    assert find_spans("costs $5 (five).", ["$5", "(five)."]) == [(6, 8), (9, 16)]


def test_squad_contexts_keep_their_leading_spaces() -> None:
    row = {
        "context": "  It is Rome. Rome!",
        "question": "Where?",
        "answers": {"text": ["Rome"] * 2, "answer_start": [8, 14]},
    }
    assert get_adapter("squad").convert(row) == SpanExample("Where?", row["context"], ((8, 12), (14, 18)), ("Rome",))
    with pytest.raises(Unusable, match="offset"):
        get_adapter("squad").convert(row | {"context": "It is Rome. Rome!"})


def test_questions_without_an_answer_are_examples_of_squad_2_alone() -> None:
    row = {"context": "It is Rome.", "question": "When?", "answers": {"text": [], "answer_start": []}}
    assert get_adapter("squad_v2").convert(row) == SpanExample("When?", "It is Rome.", (), ())
    with pytest.raises(Unusable, match="no gold answer"):
        get_adapter("squad").convert(row)


@pytest.mark.parametrize(
    ("spans", "types", "found"),
    [
        (["12"], ["number"], ["12"]),
        (["12", "12"], ["number", "number"], ["12"]),
        (["99"], ["number"], None),  # arithmetic
        (["Rome", "Paris"], ["span", "span"], None),  # one answer of two spans
        (["old Rome", "Rome"], ["span", "span"], ["old Rome"]),  # wordings of one span
        (["12", "12 boats"], ["number", "span"], ["12 boats"]),  # a number is never a list
    ],
)
def test_drop_keeps_answers_that_are_one_span_of_the_passage(
    spans: list[str], types: list[str], found: list[str] | None
) -> None:
    row = {"passage": "In old Rome and Paris stood 12 boats.", "question": "Q?"}
    row |= {"answers_spans": {"spans": spans, "types": types}}
    if found is None:
        with pytest.raises(Unusable):
            get_adapter("drop").convert(row)
        return
    example = get_adapter("drop").convert(row)
    assert isinstance(example, SpanExample)
    assert [example.context[start:end] for start, end in example.spans] == found


def test_record_points_at_every_entity_that_is_an_answer() -> None:
    row = {"passage": "Ann met Bob. Ann left.", "query": "@placeholder left.", "answers": ["Ann"]}
    row |= {"entity_spans": {"text": ["Ann", "Bob", "Ann"], "start": [0, 8, 13], "end": [3, 11, 16]}}
    example = get_adapter("record").convert(row)
    assert example == SpanExample("@placeholder left.", row["passage"], ((0, 3), (13, 16)), ("Ann",))
    with pytest.raises(Unusable, match="no gold answer"):
        get_adapter("record").convert(row | {"answers": []})


def hotpot_row(answer: str) -> dict[str, Any]:
    return {
        "question": "Q?",
        "answer": answer,
        "supporting_facts": {"title": ["Second"], "sent_id": [0]},
        "context": {"title": ["First", "Second"], "sentences": [["Rome, no yes."], ["Old Rome.", " It is."]]},
    }


def test_hotpot_qa_answers_yes_and_no_in_front_of_the_paragraphs() -> None:
    for answer, span in (("yes", (0, 3)), ("no", (4, 6))):
        example = get_adapter("hotpot_qa").convert(hotpot_row(answer))
        assert isinstance(example, SpanExample)
        assert example.spans == (span,) and example.context[slice(*span)] == answer


def test_hotpot_qa_prefers_the_supporting_paragraphs() -> None:
    example = get_adapter("hotpot_qa").convert(hotpot_row("Rome"))
    assert isinstance(example, SpanExample)
    assert len(example.spans) == 1 and example.spans[0][0] > example.context.index("Second")


def test_trivia_qa_reads_the_first_document_that_names_an_alias() -> None:
    row = {
        "question": "Q?",
        "entity_pages": {"wiki_context": ["Nothing here."]},
        "search_results": {"search_context": ["the LION sleeps; a lioness too", "Lion"]},
        "answer": {"value": "Lion", "aliases": ["Lion", "Panthera leo"]},
    }
    example = get_adapter("trivia_qa").convert(row)
    assert example == SpanExample("Q?", "the LION sleeps; a lioness too", ((4, 8),), ("Lion", "Panthera leo"))
    with pytest.raises(Unusable, match="not in the context"):
        get_adapter("trivia_qa").convert(row | {"answer": {"value": "Tiger", "aliases": []}})


def test_trivia_qa_hidden_answers_are_unusable() -> None:
    answer = {"value": "<unk>", "aliases": []}
    row = {"question": "Q?", "answer": answer, "entity_pages": {"wiki_context": ["a <unk> b"]}}
    with pytest.raises(Unusable, match="no gold answer"):
        get_adapter("trivia_qa").convert(row | {"search_results": {"search_context": []}})


def natural_question(short: tuple[list[int], list[int]], yes_no: int = -1, start: int = 1) -> dict[str, Any]:
    tokens = ["<H1>", "<P>", "It", "is", "<b>", "old", "Rome", "</b>", ".", "</P>"]
    return {
        "question": {"text": "where is it"},
        "document": {"tokens": {"token": tokens, "is_html": [token.startswith("<") for token in tokens]}},
        "annotations": {
            "long_answer": [{"start_token": start, "end_token": 10}],
            "short_answers": [{"start_token": short[0], "end_token": short[1]}],
            "yes_no_answer": [yes_no],
        },
    }


def test_natural_questions_offsets_skip_html_tokens() -> None:
    example = get_adapter("natural_questions").convert(natural_question(([4], [8])))
    assert example == SpanExample("where is it", "yes no\nIt is old Rome .", ((13, 21),), ("old Rome",))
    yes = get_adapter("natural_questions").convert(natural_question(([], []), yes_no=1))
    assert isinstance(yes, SpanExample) and yes.spans == ((0, 3),) and yes.answers == ("yes",)


def test_natural_questions_without_a_short_answer_are_unusable() -> None:
    for row in (natural_question(([], [])), natural_question(([5], [7]), start=-1)):
        with pytest.raises(Unusable, match="no gold answer"):
            get_adapter("natural_questions").convert(row)
    with pytest.raises(Unusable, match="several spans"):
        get_adapter("natural_questions").convert(natural_question(([2, 6], [3, 7])))
