"""Classification rows: words are marked where the dataset says, groups are named, and markup goes."""

from __future__ import annotations

import pytest

from data_prep.adapters import SOURCE_SPLIT, get_adapter
from data_prep.examples import ClassificationExample, InvalidData, Unusable


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


def test_anli_evaluation_is_grouped_by_round() -> None:
    row = {"premise": "P.", "hypothesis": "H.", "label": 2, SOURCE_SPLIT: "dev_r3"}
    assert get_adapter("anli").convert(row) == ClassificationExample("P.", 2, "H.", group="r3")


def test_mnli_evaluation_is_grouped_by_genre() -> None:
    row = {"premise": "P.", "hypothesis": "H.", "label": 2, SOURCE_SPLIT: "validation_mismatched"}
    assert get_adapter("mnli").convert(row) == ClassificationExample("P.", 2, "H.", group="mismatched")


def test_fever_nli_reads_the_evidence_first_and_checks_the_label_by_the_verdict() -> None:
    row = {"premise": "Claim.", "hypothesis": "Evidence.", "label": 1, "fever_gold_label": "NOT ENOUGH INFO"}
    assert get_adapter("fever_nli").convert(row) == ClassificationExample("Evidence.", 1, "Claim.")
    with pytest.raises(InvalidData, match=r"label 1 \(neutral\) but fever_gold_label 'REFUTES'"):
        get_adapter("fever_nli").convert(row | {"fever_gold_label": "REFUTES"})
