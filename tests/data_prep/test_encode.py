"""Encoding keeps what the examples say: texts, answers, choices, and the tokenizer's own layout."""

from __future__ import annotations

import copy
import itertools
import random
from typing import Any, cast

import numpy as np
import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors, trainers
from tokenizers.models import WordPiece
from transformers.models.bert.tokenization_bert_fast import BertTokenizerFast
from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.encode import (
    EMPTY_CONTEXT,
    LONG_ANSWER,
    LONG_CHOICE,
    LONG_SENTENCE,
    WORD_WITHOUT_TOKEN,
    EncodedExample,
    Limits,
    LimitsError,
    encode,
)
from data_prep.examples import (
    ChoiceExample,
    ClassificationExample,
    RegressionExample,
    SpanExample,
    SummaryExample,
    TaggingExample,
    TextExample,
)
from recipe.data.manifest import columns
from recipe.data.tokenizer import load_tokenizer
from recipe.tasks.catalogue import Family

WORDS = ["ant", "bee", "cat", "dog", "eel", "fox", "gnu", "hen", "ibis", "jay", "kiwi", "lynx", "mole", "newt", "owl"]
LIMITS = Limits(max_length=64, max_target_length=12, stride=16, train_windows=3)


@pytest.fixture(scope="module")
def bert_tokenizer() -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer with BERT's template, whose second text has token type 1."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(cast(Any, WordPiece)(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()  # type: ignore[assignment]
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()  # type: ignore[assignment]
    options: dict[str, Any] = {"vocab_size": 300, "special_tokens": special, "show_progress": False}
    tokenizer.train_from_iterator(WORDS * 3, trainers.WordPieceTrainer(**options))
    tokenizer.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return BertTokenizerFast(tokenizer_object=tokenizer)


@pytest.fixture(params=["bert", "roberta"])
def tokenizer(request: pytest.FixtureRequest) -> PreTrainedTokenizerFast:
    if request.param == "bert":
        return request.getfixturevalue("bert_tokenizer")
    return load_tokenizer(request.getfixturevalue("tiny_tokenizer_folder"))


def prose(count: int, seed: int = 0) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


def encoded(example: Any, family: Family, tokenizer: PreTrainedTokenizerFast, split: str = "train") -> EncodedExample:
    (outcome,) = encode([example], family, tokenizer, LIMITS, split)
    assert isinstance(outcome, EncodedExample), outcome
    return outcome


def rows_of(example: EncodedExample) -> list[list[int]]:
    return [part.tolist() for part in np.split(example.columns["tokens"], example.columns["row_lengths"].cumsum()[:-1])]


def read(tokenizer: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return str(tokenizer.decode(ids, skip_special_tokens=True)).strip()


@pytest.mark.parametrize("family", list(Family))
@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_encoded_example_has_exactly_the_columns_of_its_family(
    family: Family, split: str, tokenizer: PreTrainedTokenizerFast
):
    example = {
        Family.CLASSIFICATION: ClassificationExample("cat", 1),
        Family.COMMONSENSE: ChoiceExample("cat", ("dog", "eel"), 1),
        Family.MRC: SpanExample("cat", "dog eel", ((0, 3),), ("dog",)),
        Family.SUMMARIZATION: SummaryExample("cat dog", "cat"),
        Family.REGRESSION: RegressionExample("cat", 2.5, "dog"),
        Family.TAGGING: TaggingExample(("cat", "dog"), ("A", "B")),
        Family.MASKED_LM: TextExample("cat"),
    }[family]
    found = encoded(example, family, tokenizer, split).columns
    declared = columns(family, split, "uint16")
    assert set(found) == set(declared)
    for name, encoding in declared.items():
        if encoding.startswith(("ndarray", "float")):
            assert found[name].dtype == encoding.removeprefix("ndarray:"), name


def test_a_text_and_a_pair_decode_to_themselves(tokenizer: PreTrainedTokenizerFast):
    single = encoded(ClassificationExample("cat dog", 1), Family.CLASSIFICATION, tokenizer)
    assert read(tokenizer, rows_of(single)[0]) == "cat dog"
    assert single.columns["second"].tolist() == single.columns["row_lengths"].tolist()

    pair = encoded(ClassificationExample("cat dog", 0, "eel fox"), Family.CLASSIFICATION, tokenizer)
    (row,), (second,) = rows_of(pair), pair.columns["second"]
    assert (read(tokenizer, row[:second]), read(tokenizer, row[second:])) == ("cat dog", "eel fox")


@pytest.mark.parametrize("second", [None, "", "eel", prose(200)])
def test_token_types_are_the_tokenizers_own(bert_tokenizer: PreTrainedTokenizerFast, second: str | None):
    example = encoded(ClassificationExample(prose(90), 0, second), Family.CLASSIFICATION, bert_tokenizer)
    seconds = None if second is None else [second]
    own: Any = bert_tokenizer([prose(90)], seconds, truncation="longest_first", max_length=LIMITS.max_length)
    types = np.arange(example.longest) >= example.columns["second"][0]
    assert types.astype(int).tolist() == own["token_type_ids"][0]
    assert rows_of(example)[0] == own["input_ids"][0]


def test_long_texts_keep_their_head_and_long_pairs_lose_from_the_longer_one(tokenizer: PreTrainedTokenizerFast):
    single = encoded(ClassificationExample(prose(300), 0), Family.CLASSIFICATION, tokenizer)
    assert single.longest == LIMITS.max_length
    assert prose(300).startswith(read(tokenizer, rows_of(single)[0]))

    pair = encoded(ClassificationExample(prose(300), 0, "eel fox"), Family.CLASSIFICATION, tokenizer)
    assert read(tokenizer, rows_of(pair)[0][pair.columns["second"][0] :]) == "eel fox"


def test_every_choice_is_a_row_of_its_own_and_only_the_context_is_cut(tokenizer: PreTrainedTokenizerFast):
    choices = ("eel", prose(10, seed=1), prose(14, seed=2))
    example = encoded(ChoiceExample(prose(300), choices, 2), Family.COMMONSENSE, tokenizer)
    assert example.rows == 3 and example.columns["label"] == 2
    for row, second, choice in zip(rows_of(example), example.columns["second"], choices, strict=True):
        assert read(tokenizer, row[second:]) == choice
        assert prose(300).startswith(read(tokenizer, row[:second]))


def test_a_choice_that_cannot_fit_drops_its_example_and_no_other(tokenizer: PreTrainedTokenizerFast):
    fits, too_long = ChoiceExample("cat", ("dog", "eel"), 0), ChoiceExample("cat", ("dog", prose(200)), 0)
    first, second, third = encode([fits, too_long, fits], Family.COMMONSENSE, tokenizer, LIMITS, "train")
    assert isinstance(first, EncodedExample) and isinstance(third, EncodedExample)
    assert second == LONG_CHOICE


def test_the_longest_choice_that_is_accepted_is_stored_whole(tokenizer: PreTrainedTokenizerFast):
    accepted = []
    for count in range(1, 80):
        (outcome,) = encode(
            [ChoiceExample(prose(90), ("eel " * count, "cat"), 0)], Family.COMMONSENSE, tokenizer, LIMITS, "train"
        )
        if isinstance(outcome, EncodedExample):
            accepted.append(count)
            assert read(tokenizer, rows_of(outcome)[0][outcome.columns["second"][0] :]) == ("eel " * count).strip()
            assert outcome.longest <= LIMITS.max_length
    assert accepted == list(range(1, len(accepted) + 1)) and 10 < len(accepted) < 79


def test_without_a_context_a_choice_stands_alone(tokenizer: PreTrainedTokenizerFast):
    example = encoded(ChoiceExample(" ", ("cat dog", "eel"), 0), Family.COMMONSENSE, tokenizer)
    assert [read(tokenizer, row) for row in rows_of(example)] == ["cat dog", "eel"]
    assert example.columns["second"].tolist() == example.columns["row_lengths"].tolist()


def test_windows_cover_the_whole_context_and_overlap_by_the_stride(tokenizer: PreTrainedTokenizerFast):
    context = prose(150)
    example = encoded(SpanExample("which cat", context, (), ()), Family.MRC, tokenizer, "validation")
    offsets = np.split(example.columns["offsets"], example.columns["row_lengths"].cumsum()[:-1])
    parts = [part[start:stop] for part, (start, stop) in zip(offsets, example.columns["context"], strict=True)]
    assert example.rows > 2
    covered = {character for part in parts for begin, end in part.tolist() for character in range(begin, end)}
    assert covered == {i for i, character in enumerate(context) if character != " "}
    for before, after in itertools.pairwise(parts):
        assert before[-LIMITS.stride :].tolist() == after[: LIMITS.stride].tolist()
    for part, (start, stop) in zip(offsets, example.columns["context"], strict=True):
        assert not part[:start].any() and not part[stop:].any()


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("seed", range(8))
def test_spans_decode_to_the_answer_wherever_it_stands(seed: int, split: str, tokenizer: PreTrainedTokenizerFast):
    rng = random.Random(seed)
    context = prose(150, seed)
    words = context.split()
    first = rng.randrange(len(words) - 2)
    begin = len(" ".join(words[:first])) + (first > 0)
    answer = " ".join(words[first : first + 2])
    example = encoded(
        SpanExample("which cat", context, ((begin, begin + len(answer)),), (answer,)), Family.MRC, tokenizer, split
    )
    answered = 0
    for row, (start, stop), (left, right) in zip(
        rows_of(example), example.columns["spans"], example.columns["context"], strict=True
    ):
        if (start, stop) != (0, 0):
            answered += 1
            assert left <= start <= stop < right
            assert read(tokenizer, row[start : stop + 1]) == answer
    assert answered >= 1


def test_another_right_span_serves_where_the_first_is_outside_the_window(tokenizer: PreTrainedTokenizerFast):
    context = f"owl {prose(150).replace('owl', 'pig')} owl"
    spans = ((0, 3), (len(context) - 3, len(context)))
    example = encoded(SpanExample("which", context, spans, ("owl",)), Family.MRC, tokenizer, "validation")
    texts = [
        read(tokenizer, row[start : stop + 1]) if stop else None
        for row, (start, stop) in zip(rows_of(example), example.columns["spans"], strict=True)
    ]
    assert texts[0] == texts[-1] == "owl" and set(texts[1:-1]) == {None}


def test_training_keeps_the_windows_with_an_answer_and_their_neighbours(tokenizer: PreTrainedTokenizerFast):
    context = f"{prose(400)} owl"
    example = encoded(
        SpanExample("which", context, ((len(context) - 3, len(context)),), ("owl",)), Family.MRC, tokenizer
    )
    assert example.rows == LIMITS.train_windows
    assert (example.columns["spans"][-1] > 0).all() and not example.columns["spans"][:-1].any()


def test_a_training_example_without_an_answer_stays_as_one_without(tokenizer: PreTrainedTokenizerFast):
    example = encoded(SpanExample("which", prose(400), (), ()), Family.MRC, tokenizer)
    assert example.rows == LIMITS.train_windows and not example.columns["spans"].any()


def test_an_answer_longer_than_every_window_drops_a_training_example_only(tokenizer: PreTrainedTokenizerFast):
    context = prose(300)
    example = SpanExample("which", context, ((0, len(context)),), (context,))
    assert encode([example], Family.MRC, tokenizer, LIMITS, "train") == [LONG_ANSWER]
    assert encoded(example, Family.MRC, tokenizer, "validation").columns["reference"]["answers"] == [context]


def test_a_context_without_a_token_drops_the_example(tokenizer: PreTrainedTokenizerFast):
    assert encode([SpanExample("which", "", (), ())], Family.MRC, tokenizer, LIMITS, "train") == [EMPTY_CONTEXT]


def test_a_long_question_is_capped_and_leaves_room_for_the_context(tokenizer: PreTrainedTokenizerFast):
    example = encoded(SpanExample(prose(300), prose(60, 1), (), ()), Family.MRC, tokenizer, "validation")
    question = read(tokenizer, rows_of(example)[0][: example.columns["second"][0]])
    assert question and prose(300).startswith(question)
    assert (example.columns["second"] <= LIMITS.question_length + 4).all()


def tagged(sentence: str, tokenizer: PreTrainedTokenizerFast, split: str = "train") -> EncodedExample | str:
    words = tuple(sentence.split())
    example = TaggingExample(words, tuple("BA"[index % 2] for index in range(len(words))))
    (outcome,) = encode([example], Family.TAGGING, tokenizer, LIMITS, split, ("A", "B"))
    return outcome


@pytest.mark.parametrize("sentence", ["cat", "cats owls lynx newts", prose(12)])
def test_labels_stand_at_the_first_token_of_each_word(sentence: str, tokenizer: PreTrainedTokenizerFast):
    outcome = tagged(sentence, tokenizer)
    assert isinstance(outcome, EncodedExample)
    (row,), words = rows_of(outcome), outcome.columns["words"]
    parts = [read(tokenizer, part.tolist()) for part in np.split(np.array(row[:-1]), words)]
    assert parts[0] == ""
    assert [part.replace(" ##", "").replace("##", "") for part in parts[1:]] == sentence.split()
    assert outcome.columns["labels"].tolist() == [1 - index % 2 for index in range(len(words))]
    assert row == tokenizer(sentence)["input_ids"]


def test_words_of_any_script_and_punctuation_have_their_own_first_token(tiny_tokenizer_folder: str):
    tokenizer, sentence = load_tokenizer(tiny_tokenizer_folder), "« naïve » coöp 's ( 猫 ) \u2013 . . 's x"
    outcome = tagged(sentence, tokenizer)
    assert isinstance(outcome, EncodedExample)
    parts = np.split(outcome.columns["tokens"][:-1], outcome.columns["words"])
    assert [read(tokenizer, part.tolist()) for part in parts[1:]] == sentence.split()


def test_a_label_outside_the_label_space_is_marked(tokenizer: PreTrainedTokenizerFast):
    example = TaggingExample(("cat", "dog"), ("A", "never seen"), "(S (A cat) (B dog))")
    (outcome,) = encode([example], Family.TAGGING, tokenizer, LIMITS, "validation", ("A", "B"))
    assert isinstance(outcome, EncodedExample)
    assert outcome.columns["labels"].tolist() == [0, -1]
    assert outcome.columns["reference"] == {"tags": ["A", "never seen"], "tree": "(S (A cat) (B dog))"}


@pytest.mark.parametrize("split", ["train", "validation"])
def test_sentences_are_never_cut(split: str, tokenizer: PreTrainedTokenizerFast):
    assert tagged(prose(200), tokenizer, split) == LONG_SENTENCE


@pytest.mark.parametrize("sentence", ["\u200b cat", "cat \u200b", "cat \u200b dog"])
def test_a_word_without_a_token_drops_its_sentence(sentence: str, bert_tokenizer: PreTrainedTokenizerFast):
    tokenizer = copy.deepcopy(bert_tokenizer)
    tokenizer.backend_tokenizer.normalizer = normalizers.BertNormalizer()  # type: ignore[assignment]
    assert tagged(sentence, tokenizer) == WORD_WITHOUT_TOKEN


def test_a_summary_too_long_is_cut_and_still_ends_the_sequence(tokenizer: PreTrainedTokenizerFast):
    example = encoded(SummaryExample(prose(300), prose(50, 1)), Family.SUMMARIZATION, tokenizer, "validation")
    target = example.columns["target"].tolist()
    whole = cast(list[int], tokenizer(prose(50, 1))["input_ids"])
    assert len(target) == example.target == LIMITS.max_target_length
    assert target == [*whole[: LIMITS.max_target_length - 1], whole[-1]]
    assert example.columns["reference"] == {"summary": prose(50, 1)}
    assert example.longest == LIMITS.max_length and prose(300).startswith(read(tokenizer, rows_of(example)[0]))


@pytest.mark.parametrize("wrong", [{"max_length": 8}, {"stride": 300}, {"train_windows": 0}, {"max_target_length": 1}])
def test_impossible_limits_are_refused_by_name(wrong: dict[str, int]):
    with pytest.raises(LimitsError, match=next(iter(wrong))):
        Limits(**wrong)
