"""The miniature is the datasets in small: their schemas, label numbers and traps, the same rows in every run."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_prep.adapters import ADAPTERS, get_adapter
from data_prep.examples import ChoiceExample, ClassificationExample, Example, SpanExample, SummaryExample, Unusable
from data_prep.miniature import MINIATURES, default_count, generate, words
from data_prep.sources import parse_source
from recipe.tasks import PREFINETUNE_TASKS, Family, get_task, source_splits

DATA = Path(os.environ.get("PREFINETUNE_DATA") or Path(__file__).parents[3] / "shared/data")
KEYS = tuple(MINIATURES)


def own_split(key: str) -> str:
    """A split that the training split is made of."""
    return source_splits(get_task(key).train_split)[0]


def examples(key: str, split: str = "train") -> list[Example]:
    """The usable examples of what the task trains on or is evaluated on."""
    task, adapter, converted = get_task(key), get_adapter(key), []
    name = task.train_split if split == "train" else task.evaluation_splits[0]
    for row in (row for rows in parse_source("miniature").read(key, name, adapter.columns) for row in rows):
        try:
            converted.append(adapter.convert(row))
        except Unusable:
            continue
    return converted


def shape(kind: pa.DataType) -> Any:
    """A type without the names that Arrow and Parquet give to list items."""
    if pa.types.is_list(kind):
        return [shape(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: shape(field.type) for field in kind}
    return str(kind)


def test_every_adapter_has_a_miniature() -> None:
    assert set(MINIATURES) == set(ADAPTERS)


@pytest.mark.parametrize("key", KEYS)
def test_the_same_rows_are_drawn_again_and_fewer_are_the_first_of_more(key: str) -> None:
    table = generate(key, own_split(key), 12)
    assert table.num_rows == 12
    assert table == generate(key, own_split(key), 12)
    assert generate(key, own_split(key), 5) == table.slice(0, 5)


def test_rows_do_not_depend_on_the_process() -> None:
    code = (
        "import hashlib, sys; from data_prep.miniature import generate;"
        "rows = [generate(k, 'train', 20).to_pylist() for k in sys.argv[1:]];"
        "print(hashlib.sha256(repr(rows).encode()).hexdigest())"
    )
    keys = ["cola", "race", "drop", "xsum"]
    environment = os.environ | {"PYTHONHASHSEED": "12345"}
    other = subprocess.run(
        [sys.executable, "-c", code, *keys], env=environment, capture_output=True, text=True, check=True
    )
    here = [generate(key, "train", 20).to_pylist() for key in keys]
    assert other.stdout.strip() == hashlib.sha256(repr(here).encode()).hexdigest()


@pytest.mark.parametrize("key", KEYS)
def test_no_example_is_both_for_training_and_for_evaluation(key: str) -> None:
    train, evaluation = (set(examples(key, split)) for split in ("train", "validation"))
    assert evaluation
    assert not train & evaluation


@pytest.mark.parametrize("key", KEYS)
def test_columns_are_those_of_the_real_files(key: str) -> None:
    path = DATA / key / f"{own_split(key)}.parquet"
    if not path.exists():
        pytest.skip(f"no {path} (set PREFINETUNE_DATA)")
    real = {field.name: shape(field.type) for field in pq.read_schema(path)}
    assert {field.name: shape(field.type) for field in generate(key, own_split(key), 3).schema} == real


@pytest.mark.parametrize("key", [key for key in KEYS if get_task(key).family is Family.CLASSIFICATION])
def test_every_class_is_trained_and_evaluated(key: str) -> None:
    for split in ("train", "validation"):
        labels = {example.label for example in examples(key, split) if isinstance(example, ClassificationExample)}
        assert labels == set(range(len(get_task(key).labels)))


@pytest.mark.parametrize("key", [key for key in KEYS if get_task(key).family is Family.COMMONSENSE])
def test_the_right_choice_is_the_plausible_one_at_any_place(key: str) -> None:
    plausible = set(words.ROUND_NUMBERS) if key == "math_qa" else set(words.PLAUSIBLE)
    places = Counter()
    for example in examples(key, "train"):
        assert isinstance(example, ChoiceExample)
        told = [i for i, c in enumerate(example.choices) if c in plausible or set(c.strip(" .").split()) & plausible]
        assert told == [example.label]
        places[example.label] += 1
    assert min(places[place] for place in range(get_task(key).choices or 3)) >= len(places)


@pytest.mark.parametrize("key", [key for key in KEYS if get_task(key).family is Family.SUMMARIZATION])
def test_a_document_s_opening_does_not_tell_its_summary(key: str) -> None:
    signals = {word for keywords in words.STORIES.values() for word in keywords}
    for example in examples(key, "train"):
        assert isinstance(example, SummaryExample)
        body = example.document.removeprefix("Hello team,\n").removeprefix("SECTION 1. ")
        opening, _, rest = body.partition(".")
        assert not signals & set(opening.split())
        assert signals & set(rest.split())


def test_sets_of_different_meaning_share_no_word() -> None:
    sets = [words.AGREEING, words.UNSURE, words.DENYING, words.POSITIVE, words.NEGATIVE, words.BROKEN_VERBS]
    sets += [words.PLAUSIBLE, words.IMPLAUSIBLE, words.ROUND_NUMBERS, words.ODD_NUMBERS, words.NAMES, words.COUNTS]
    sets += [*words.NEWS.values(), *words.STORIES.values()]
    sets += [
        words.SUBJECTS,
        words.OBJECTS,
        words.ADJECTIVES,
        words.PLACES,
        list(words.VERBS),
        list(words.VERBS.values()),
    ]
    shared = [word for word, uses in Counter(word for group in sets for word in set(group)).items() if uses > 1]
    assert shared == []


def test_the_demo_is_uneven_and_small() -> None:
    sizes = [default_count(key, "train") for key in PREFINETUNE_TASKS]
    assert 10_000 <= sum(sizes) <= 14_000
    assert max(sizes) >= 10 * min(sizes)
    splits = [(key, source_splits(get_task(key).evaluation_splits[0])[0]) for key in PREFINETUNE_TASKS]
    assert all(40 <= default_count(*split) <= 120 for split in splits)


def test_a_split_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(ValueError, match=r"'mnli' has no split 'validation'.*train, validation_matched"):
        generate("mnli", "validation")
    with pytest.raises(ValueError, match=r"'anli' has no split 'train'.*train_r1, train_r2, train_r3, dev_r1"):
        generate("anli", "train")


def test_a_task_without_a_miniature_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(MINIATURES, "stsb")
    with pytest.raises(ValueError, match="'stsb' has no miniature"):
        generate("stsb", "train")


def test_traps_of_the_datasets_are_in_the_miniature() -> None:
    def rows(key: str, split: str = "train") -> list[dict[str, Any]]:
        return generate(key, split).to_pylist()

    assert {row["label"] for row in rows("snli")} == {-1, 0, 1, 2}
    assert {len(row["choices"]["text"]) for row in rows("arc_easy")} == {3, 4, 5}
    assert any(row["answerKey"].isdigit() for row in rows("arc_challenge"))
    assert any("1 , 000" in row["options"] for row in rows("math_qa"))
    assert any(row["context"].startswith(" ") for row in rows("squad"))
    assert all(len(row["answers"]["text"]) == 3 for row in rows("squad", "validation"))
    assert {len(row["answers"]["text"]) for row in rows("squad_v2", "validation")} == {0, 3}
    assert {"yes", "no"} <= {row["answer"] for row in rows("hotpot_qa")}
    assert any(row["answers_spans"]["spans"][0] not in row["passage"] for row in rows("drop"))
    assert any(len(row["answers_spans"]["spans"]) == 2 for row in rows("drop"))
    assert any(row["support"] == "" for row in rows("sciq"))
    assert any("[title]" in row["ctx"] for row in rows("hellaswag"))
    assert any(row["tokens"] == [] for row in rows("conll2000_chunking"))
    assert any("<unk>" in row["summary"] for row in rows("gigaword"))
    assert any("-LRB-" in row["tree"] for row in rows("ptb_parsing"))
    assert any("(FRAG (NP (NN" in row["tree"] for row in rows("ptb_parsing"))
    assert all("\\n" in row["text"] or '\\""' in row["text"] for row in rows("yelp_polarity"))


def test_some_contexts_and_documents_are_long() -> None:
    contexts = [
        e.context for key in ("squad", "trivia_qa") for e in examples(key, "train") if isinstance(e, SpanExample)
    ]
    documents = [e.document for e in examples("xsum", "train") if isinstance(e, SummaryExample)]
    for texts in (contexts, documents):
        long = sum(len(text.split()) > 200 for text in texts)
        assert 3 <= long <= len(texts) // 8
