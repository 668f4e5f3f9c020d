"""Every raw row becomes an example, or is counted, or stops the conversion with a message that names the task."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data_prep.adapters import ADAPTERS, SOURCE_SPLIT, NoAdapter, get_adapter
from data_prep.adapters.mrc import find_spans
from data_prep.examples import (
    ChoiceExample,
    ClassificationExample,
    InvalidData,
    RegressionExample,
    SpanExample,
    SummaryExample,
    TaggingExample,
    Unusable,
)
from data_prep.sources import parse_source
from recipe.tasks import CATALOGUE, Family, get_task

DATA = Path(os.environ.get("PREFINETUNE_DATA") or Path(__file__).parents[3] / "shared/data")
KEYS = tuple(ADAPTERS)
EXAMPLE_TYPES = {
    Family.CLASSIFICATION: ClassificationExample,
    Family.COMMONSENSE: ChoiceExample,
    Family.MRC: SpanExample,
    Family.SUMMARIZATION: SummaryExample,
    Family.REGRESSION: RegressionExample,
    Family.TAGGING: TaggingExample,
}


def rows(key: str, count: int = 60) -> list[dict[str, Any]]:
    """Raw rows as a conversion reads them, those of a split that is joined of several included."""
    source, split = parse_source("miniature"), get_task(key).train_split
    return [row for part in source.read(key, split, get_adapter(key).columns, (0, count)) for row in part]


def usable_row(key: str) -> dict[str, Any]:
    for row in rows(key):
        try:
            get_adapter(key).convert(row)
        except Unusable:
            continue
        return row
    raise AssertionError(f"no usable row of {key}")


def convert_all(key: str, raw: list[dict[str, Any]]) -> tuple[list[Any], Counter[str]]:
    examples, dropped = [], Counter()
    for row in raw:
        try:
            examples.append(get_adapter(key).convert(row))
        except Unusable as reason:
            dropped[str(reason)] += 1
    return examples, dropped


def check(key: str, example: Any) -> None:
    """What every example of a family promises."""
    task = get_task(key)
    assert type(example) is EXAMPLE_TYPES[task.family]
    if isinstance(example, ClassificationExample):
        assert 0 <= example.label < len(task.labels)
        assert example.text and example.second_text != ""
    elif isinstance(example, ChoiceExample):
        assert 0 <= example.label < len(example.choices)
        assert example.context and all(example.choices)
        assert task.choices in (None, len(example.choices))
    elif isinstance(example, SpanExample):
        answers = {answer.strip().lower() for answer in example.answers}
        assert example.question and example.spans
        assert all(0 <= start < end <= len(example.context) for start, end in example.spans)
        assert {example.context[start:end].strip().lower() for start, end in example.spans} <= answers
    elif isinstance(example, RegressionExample):
        assert example.text and example.second_text and 0 <= example.score <= 5
    elif isinstance(example, TaggingExample):
        assert len(example.words) == len(example.tags) and all(example.words)
        assert task.has_open_labels or set(example.tags) <= set(task.labels)
    else:
        assert example.document and example.summary


def check_drops(key: str, dropped: Counter[str], read: int) -> None:
    """Only what the adapter expects is dropped more than now and then."""
    unexpected = sum(count for reason, count in dropped.items() if reason not in get_adapter(key).expected)
    assert unexpected <= max(1, 0.02 * read), dropped


def test_every_task_has_an_adapter() -> None:
    assert set(ADAPTERS) == set(CATALOGUE)


def test_a_task_without_an_adapter_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ADAPTERS, "stsb")
    with pytest.raises(NoAdapter, match=r"'stsb' has no adapter.*cola"):
        get_adapter("stsb")


@pytest.mark.parametrize("key", KEYS)
def test_raw_rows_become_examples_of_the_task_s_family(key: str) -> None:
    raw = rows(key)
    examples, dropped = convert_all(key, raw)
    check_drops(key, dropped, len(raw))
    for example in examples:
        check(key, example)


@pytest.mark.parametrize("key", KEYS)
def test_an_adapter_reads_only_the_columns_it_names(key: str) -> None:
    adapter, row = get_adapter(key), usable_row(key)
    assert adapter.convert({column: row[column] for column in adapter.columns}) == adapter.convert(row)


LABELLED = [(k, c) for k in KEYS for c in ("label", "coarse_label") if c in ADAPTERS[k].columns]


@pytest.mark.parametrize(("key", "column"), LABELLED)
def test_a_hidden_label_makes_a_row_unusable(key: str, column: str) -> None:
    row = usable_row(key)
    hidden = "" if isinstance(row[column], str) else -1
    with pytest.raises(Unusable, match="no gold label"):
        get_adapter(key).convert(row | {column: hidden})


@pytest.mark.parametrize(("key", "column"), LABELLED)
def test_a_label_outside_the_label_space_stops_the_conversion(key: str, column: str) -> None:
    row = usable_row(key)
    with pytest.raises(InvalidData, match=rf"task {key}: label 77 is outside 0\.\.\d"):
        get_adapter(key).convert(row | {column: type(row[column])(77)})


@pytest.mark.parametrize(
    ("key", "column", "hidden"),
    [("arc_easy", "answerKey", ""), ("race", "answer", ""), ("math_qa", "correct", ""), ("scitail", "gold_label", "-")],
)
def test_labels_that_are_names_are_checked_too(key: str, column: str, hidden: str) -> None:
    row = usable_row(key)
    with pytest.raises(Unusable, match="no gold label"):
        get_adapter(key).convert(row | {column: hidden})
    with pytest.raises(InvalidData, match=f"task {key}: .*'Z'"):
        get_adapter(key).convert(row | {column: "Z"})


OPTIONAL_TEXTS = {("sciq", "support"), ("swag", "sent2"), ("hyperpartisan", "title"), ("anli", SOURCE_SPLIT)}


@pytest.mark.parametrize("key", [key for key in KEYS if key not in ("natural_questions", "conll2000_chunking")])
def test_rows_without_a_text_never_become_examples(key: str) -> None:
    row = usable_row(key)
    texts = [c for c in ADAPTERS[key].columns if isinstance(row[c], str) and (key, c) not in OPTIONAL_TEXTS]
    assert texts
    for column in texts:
        with pytest.raises((Unusable, InvalidData)):
            get_adapter(key).convert(row | {column: "  "})


def test_wic_marks_the_word_at_its_offsets() -> None:
    row = {"word": "run", "sentence1": "He ran, then ran on.", "start1": 13, "end1": 16, "label": 1}
    row |= {"sentence2": "Run!", "start2": 0, "end2": 3}
    example = get_adapter("wic").convert(row)
    assert example == ClassificationExample("run: He ran, then *ran* on.", 1, "*Run*!")
    with pytest.raises(InvalidData, match="end2=9"):
        get_adapter("wic").convert(row | {"end2": 9})


def test_wsc_marks_the_pronoun_at_its_token_and_not_an_earlier_one() -> None:
    row = {"text": 'Tom said he met Bob. "He left," he said.', "span2_index": 7, "span2_text": "he", "label": 0}
    example = get_adapter("wsc").convert(row | {"span1_text": "Bob"})
    assert example == ClassificationExample('Tom said he met Bob. "He left," *he* said.', 0, "Bob")
    with pytest.raises(Unusable, match="pronoun"):
        get_adapter("wsc").convert(row | {"span1_text": "Bob", "span2_index": 1})


def test_multirc_answers_are_grouped_by_their_question() -> None:
    row = {"paragraph": "P.", "question": "Q?", "answer": "A", "label": 0}
    examples = [
        get_adapter("multirc").convert(row | {"idx": {"paragraph": 3, "question": question, "answer": answer}})
        for question, answer in ((7, 1), (7, 2), (8, 3))
    ]
    assert [example.group for example in examples if isinstance(example, ClassificationExample)] == [
        "3-7",
        "3-7",
        "3-8",
    ]


def test_escapes_of_the_sources_are_resolved() -> None:
    def text(key: str, raw: str) -> str:
        example = get_adapter(key).convert({"text": raw, "label": 0})
        assert isinstance(example, ClassificationExample)
        return example.text

    assert text("yelp_polarity", 'Good.\\n\\n\\""Yes\\""') == 'Good.\n\n"Yes"'
    assert text("imdb", "One.<br /><br />Two.") == "One.\nTwo."
    assert text("ag_news", "Dell #39;s new\\line &lt;b&gt; AT amp;T") == "Dell's new line <b> AT &T"


def test_arc_keys_may_be_digits_and_choices_three_or_five() -> None:
    row = {"question": "Q?", "choices": {"text": ["a", "b", "c"], "label": ["1", "2", "3"]}, "answerKey": "3"}
    assert get_adapter("arc_easy").convert(row) == ChoiceExample("Q?", ("a", "b", "c"), 2)


def test_math_qa_options_keep_their_commas() -> None:
    row = {
        "Problem": "How many?",
        "options": "a ) 1 , 000 , b ) rs . 2 , c ) 3 / 4 , d ) 5 % , e ) none",
        "correct": "a",
    }
    example = get_adapter("math_qa").convert(row)
    assert example == ChoiceExample("How many?", ("1 , 000", "rs . 2", "3 / 4", "5 %", "none"), 0)
    with pytest.raises(Unusable, match="number of choices"):
        get_adapter("math_qa").convert(row | {"options": "a ) 1 , b ) 2"})


def test_copa_asks_for_the_cause_or_the_effect() -> None:
    row = {"premise": "It rained.", "choice1": "x", "choice2": "y", "question": "cause", "label": 1}
    assert get_adapter("copa").convert(row) == ChoiceExample("It rained. What was the cause of this?", ("x", "y"), 1)
    with pytest.raises(InvalidData, match="'why'"):
        get_adapter("copa").convert(row | {"question": "why"})


def test_race_choices_fill_the_blank_of_a_cloze_question() -> None:
    row = {"article": "A.", "question": "He is _ .", "options": ["x", "y", "z", "w"], "answer": "B"}
    example = get_adapter("race").convert(row)
    assert example == ChoiceExample("A.", ("He is x .", "He is y .", "He is z .", "He is w ."), 1)


def test_sciq_choices_have_an_order_that_stays_and_differs_between_questions() -> None:
    row = {"correct_answer": "r", "distractor1": "x", "distractor2": "y", "distractor3": "z", "support": ""}
    examples = [get_adapter("sciq").convert(row | {"question": f"Question {i}?"}) for i in range(40)]
    assert examples == [get_adapter("sciq").convert(row | {"question": f"Question {i}?"}) for i in range(40)]
    assert all(isinstance(e, ChoiceExample) and e.choices[e.label] == "r" for e in examples)
    assert {e.label for e in examples if isinstance(e, ChoiceExample)} == {0, 1, 2, 3}


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


def test_hellaswag_titles_end_a_sentence_and_other_tags_go() -> None:
    row = {"ctx": "[header] How to nap [title] Lie down. [step] Find", "endings": ["a bed. [substeps] Rest", *"bcd"]}
    example = get_adapter("hellaswag").convert(row | {"label": "0"})
    assert example == ChoiceExample("How to nap. Lie down. Find", ("a bed. Rest", "b", "c", "d"), 0)


def test_anli_evaluation_is_grouped_by_round() -> None:
    row = {"premise": "P.", "hypothesis": "H.", "label": 2, SOURCE_SPLIT: "dev_r3"}
    assert get_adapter("anli").convert(row) == ClassificationExample("P.", 2, "H.", group="r3")


def test_fever_nli_reads_the_evidence_first_and_checks_the_label_by_the_verdict() -> None:
    row = {"premise": "Claim.", "hypothesis": "Evidence.", "label": 1, "fever_gold_label": "NOT ENOUGH INFO"}
    assert get_adapter("fever_nli").convert(row) == ClassificationExample("Evidence.", 1, "Claim.")
    with pytest.raises(InvalidData, match=r"label 1 \(neutral\) but fever_gold_label 'REFUTES'"):
        get_adapter("fever_nli").convert(row | {"fever_gold_label": "REFUTES"})


def test_hyperpartisan_articles_are_text_under_their_title() -> None:
    row = {"text": '<p>A &amp; <a href="">b</a>.</p><p></p><p>C.</p>', "title": "T &c", "hyperpartisan": True}
    assert get_adapter("hyperpartisan").convert(row) == ClassificationExample("T &c\nA & b .\nC.", 1)


def test_gigaword_unknown_words_are_no_special_tokens() -> None:
    row = {"document": "<unk> of UNK", "summary": "<unk>"}
    assert get_adapter("gigaword").convert(row) == SummaryExample("UNK of UNK", "UNK")


def test_chunks_have_their_names_and_brackets_their_look() -> None:
    row = {"tokens": ["A", "-LRB-", "``"], "chunk_tags": [11, 0, 0]}
    assert get_adapter("conll2000_chunking").convert(row) == TaggingExample(("A", "(", '"'), ("B-NP", "O", "O"))
    with pytest.raises(Unusable, match="empty sentence"):
        get_adapter("conll2000_chunking").convert({"tokens": [], "chunk_tags": []})
    with pytest.raises(InvalidData, match="3 tokens but 1 chunk_tags"):
        get_adapter("conll2000_chunking").convert(row | {"chunk_tags": [11]})
    with pytest.raises(InvalidData, match=r"label 23 is outside 0\.\.22"):
        get_adapter("conll2000_chunking").convert(row | {"chunk_tags": [11, 0, 23]})


def test_tags_that_the_treebank_does_not_have_are_unusable() -> None:
    with pytest.raises(Unusable, match="none of the treebank's 45"):
        get_adapter("ptb_pos").convert({"tree": "(S (NN|VB walk))"})


@pytest.mark.parametrize("text", [None, "(S (NN a)", "(NN a) (NN b)", "a"])
@pytest.mark.parametrize("key", ["ptb_pos", "ptb_parsing"])
def test_a_row_that_is_not_one_tree_stops_the_conversion(key: str, text: str | None) -> None:
    with pytest.raises(InvalidData, match=f"task {key}: tree .* is not one bracketed tree"):
        get_adapter(key).convert({"tree": text})


def test_trivia_qa_hidden_answers_are_unusable() -> None:
    answer = {"value": "<unk>", "aliases": []}
    row = {"question": "Q?", "answer": answer, "entity_pages": {"wiki_context": ["a <unk> b"]}}
    with pytest.raises(Unusable, match="no gold answer"):
        get_adapter("trivia_qa").convert(row | {"search_results": {"search_context": []}})


def test_multi_news_articles_stand_on_lines_and_summaries_without_dash() -> None:
    row = {"document": "One. ||||| TwoNEWLINE_CHARlines. |||||", "summary": "\u2013 Three."}
    assert get_adapter("multi_news").convert(row) == SummaryExample("One.\nTwo\nlines.", "Three.")


@pytest.mark.parametrize("key", KEYS)
def test_real_files_convert_but_for_documented_drops(key: str) -> None:
    paths = [DATA / key / f"{split}.parquet" for split in ("train", *get_task(key).evaluation_splits)]
    found = [path for path in paths if path.exists()]
    if not found:
        pytest.skip(f"no Parquet files of {key} under {DATA} (set PREFINETUNE_DATA)")
    for path in found:
        raw = pq.read_table(path, columns=list(get_adapter(key).columns)).to_pylist()
        examples, dropped = convert_all(key, raw)
        check_drops(key, dropped, len(raw))
        for example in examples:
            check(key, example)
