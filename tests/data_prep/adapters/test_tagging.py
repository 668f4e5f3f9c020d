"""Tagging rows: words and their names, and trees that are whole."""

from __future__ import annotations

import pytest

from data_prep.adapters import get_adapter
from data_prep.examples import InvalidData, TaggingExample, Unusable


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
