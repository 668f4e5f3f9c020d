"""What the adapters and the encoding make of every dataset is what a reader has seen and approved."""

from __future__ import annotations

import pytest

from recipe.data.tokenizer import load_tokenizer
from recipe.tasks import Family
from tests.data_prep.golden_files import COMMAND, FAMILIES, FOLDER, golden


@pytest.mark.parametrize("family", FAMILIES)
def test_examples_read_as_they_did_when_they_were_looked_at(family: Family, tiny_tokenizer_folder: str) -> None:
    path = FOLDER / f"{family.value}.md"
    now = golden(family, load_tokenizer(tiny_tokenizer_folder))
    assert now == path.read_text(encoding="utf-8"), f"run {COMMAND}, read what changed in {path}, and commit it"
