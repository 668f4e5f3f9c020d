"""Correlations, chunks and constituents are counted as published programs count them."""

from __future__ import annotations

import random
import re
from collections import Counter

import pytest
import torch
from torchmetrics.functional.regression import pearson_corrcoef, spearman_corrcoef

from recipe.tasks.chunks import chunks
from recipe.tasks.scores import bracket_overlap, chunk_overlap, pearson, spearman, tag_overlap
from recipe.tasks.trees import brackets, read_trees, tree_to_labels


def test_correlations_agree_with_torchmetrics_also_with_ties() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.rand(300, 2, generator=generator, dtype=torch.float64)
    rows[:, 1] = ((rows[:, 0] + rows[:, 1]) * 5).round() / 2  # as STS-B's: few values, many ties
    assert float(pearson(rows)) == pytest.approx(float(pearson_corrcoef(*rows.T)), abs=1e-6)
    assert float(spearman(rows)) == pytest.approx(float(spearman_corrcoef(*rows.T)), abs=1e-6)


def test_correlations_are_scipys() -> None:
    # scipy.stats of 1.17: pearsonr and the example in spearmanr's documentation
    assert float(pearson(pairs([1, 2, 3, 4, 5], [10, 9, 2.5, 6, 4]))) == pytest.approx(-0.7426106572325057)
    assert float(spearman(pairs([1, 2, 3, 4, 5], [5, 6, 7, 8, 7]))) == pytest.approx(0.8207826816681233)


def test_a_constant_prediction_correlates_with_nothing() -> None:
    assert float(pearson(pairs([2, 2, 2], [1, 2, 3]))) == float(spearman(pairs([2, 2, 2], [1, 2, 3]))) == 0


def test_chunk_scores_are_those_in_seqevals_documentation() -> None:
    right = [["O", "O", "O", "B-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    tags = [["O", "O", "B-MISC", "I-MISC", "I-MISC", "I-MISC", "O"], ["B-PER", "I-PER", "O"]]
    overlaps = [chunk_overlap(a, b) for a, b in zip(tags, right, strict=True)]
    assert overlaps == [(0, 1, 1), (1, 1, 1)]  # f1_score 0.50
    assert sum(tag_overlap(a, b)[0] for a, b in zip(tags, right, strict=True)) / 10 == 0.8  # accuracy_score 0.80


def test_chunks_are_found_whatever_the_order_of_tags() -> None:
    """Against a reading by pattern: a run of one name, which a B- inside it parts."""
    generator = random.Random(0)
    for _ in range(300):
        tags = [generator.choice(["O", "B-NP", "I-NP", "B-VP", "I-VP"]) for _ in range(generator.randint(1, 12))]
        letters = "".join({"O": "o", "B-NP": "N", "I-NP": "n", "B-VP": "V", "I-VP": "v"}[tag] for tag in tags)
        runs = re.finditer(r"Nn*|n+|Vv*|v+", letters)
        assert list(chunks(tags)) == [({"n": "NP", "v": "VP"}[m[0][0].lower()], *m.span()) for m in runs]


_GOLD = "(S (A (P this)) (B (Q is) (A (R a) (T test))))"


# The sample that comes with evalb: matched, in the gold tree, in the tested one (sample.rsl).
@pytest.mark.parametrize(
    ("tested", "counts"),
    [
        ("(S (A (P this)) (B (Q is) (A (R a) (T test))))", (4, 4, 4)),
        ("(S (A (P this)) (B (Q is) (C (R a) (T test))))", (3, 4, 4)),
        ("(S (A (P this)) (B (Q is) (A (R a) (U test))))", (4, 4, 4)),
        ("(S (C (P this)) (B (Q is) (A (R a) (U test))))", (3, 4, 4)),
        ("(S (A (P this)) (B (Q is) (R a) (A (T test))))", (3, 4, 4)),
        ("(S (A (P this) (Q is)) (A (R a) (T test)))", (2, 4, 3)),
        ("(S (P this) (Q is) (R a) (T test))", (1, 4, 1)),
        ("(S (A (P this)) (B (Q is) (A (A (R a) (T test)))))", (4, 4, 5)),
        ("(S (A (P this)) (B (Q is) (A (A (A (A (A (R a) (T test))))))))", (4, 4, 8)),
        ("(TOP (S (A (P this)) (B (Q is) (A (R a) (T test)))))", (4, 4, 4)),
    ],
)
def test_constituents_are_those_in_evalbs_sample(tested: str, counts: tuple[int, int, int]) -> None:
    ((gold,), (tree,)) = list(read_trees(_GOLD)), list(read_trees(tested))
    matched = (brackets(gold) & brackets(tree)).total()
    assert (matched, brackets(gold).total(), brackets(tree).total()) == counts
    right, predicted, actual = bracket_overlap(tree_to_labels(tree), _GOLD)
    assert (right, actual, predicted) == counts


def test_punctuation_takes_no_place_and_particles_are_adverbs() -> None:
    (tree,) = read_trees("(S (`` `) (NP (NN it)) (, ,) (VP (VBD went) (PRT (RP on))) (. .))")
    assert brackets(tree) == Counter([("S", 0, 3), ("NP", 0, 1), ("VP", 1, 3), ("ADVP", 2, 3)])


def pairs(predictions: list[float], references: list[float]) -> torch.Tensor:
    return torch.tensor([predictions, references], dtype=torch.float64).T
