"""Parsing as tagging loses nothing, and whatever a tagger says is a tree."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipe.tasks.trees import Tree, labels_to_tree, read_trees, tree_to_labels

NAMES = st.sampled_from(["S", "NP", "VP", "PP", "SBAR", "TOP"])
LEAVES = st.builds(
    lambda tag, word: Tree(tag, word=word), st.sampled_from(["NN", "-LRB-", "PRP$"]), st.text("ab'%", min_size=1)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(Tree, NAMES, st.lists(inner, min_size=1, max_size=4).map(tuple)),
    max_leaves=25,
)
LABELS = st.sampled_from(["+1|S|", "+2|NP|", "-1|S|NP", "-3|S+VP|", "+0|VP|NP+QP", "||", "||NP"])


@given(TREES)
def test_a_tree_comes_back_exactly_from_its_labels(tree: Tree) -> None:
    labels = tree_to_labels(tree)
    assert len(labels) == len(tree.leaves())
    assert labels_to_tree(labels, tree.leaves()) == tree


@given(TREES)
def test_a_tree_comes_back_exactly_from_its_brackets(tree: Tree) -> None:
    assert list(read_trees(str(tree))) == [tree]


@given(st.lists(st.tuples(LABELS, LEAVES), min_size=1, max_size=30))
def test_any_labels_are_a_tree_over_the_same_words(pairs: list[tuple[str, Tree]]) -> None:
    labels, leaves = map(list, zip(*pairs, strict=True))
    tree = labels_to_tree(labels, leaves)
    assert tree.leaves() == leaves
    assert labels_to_tree(tree_to_labels(tree), leaves) == tree


def test_labels_are_those_of_the_paper() -> None:
    (tree,) = read_trees("(S (NP (DT the) (NN cat)) (VP (VBD sat) (PP (IN on) (NP (NNS mats)))) (. .))")
    assert tree_to_labels(tree) == ["+2|NP|", "-1|S|", "+1|VP|", "+1|PP|", "-2|S|NP", "||"]


def test_unary_chains_are_kept_inside_and_above_a_word() -> None:
    (tree,) = read_trees("(TOP (S (VP (VB Go) (ADVP (RB home)))))")
    assert tree_to_labels(tree) == ["+1|TOP+S+VP|", "||ADVP"]
    (word,) = read_trees("(FRAG (NP (NN Fire)))")
    assert tree_to_labels(word) == ["||FRAG+NP"]


def test_trees_span_lines_and_the_outermost_bracket_needs_no_name() -> None:
    trees = list(read_trees("\n( (S\n    (NN a) ))\n\n((NN b))\n"))
    assert [tree.label for tree in trees] == ["", ""]
    assert [leaf.word for tree in trees for leaf in tree.leaves()] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(S (NN a)", "1 brackets are not closed"),
        ("(NN a))", r"unexpected '\)' at character 6"),
        ("(S ())", r"unexpected '\)' at character 4"),
        ("(S (NN a) b)", "unexpected 'b"),
        ("walk", "unexpected 'walk' at character 0"),
    ],
)
def test_what_is_no_tree_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(read_trees(text))


def test_names_that_labels_could_not_hold_are_refused() -> None:
    with pytest.raises(ValueError, match=r"constituent 'ADVP\|PRT'"):
        tree_to_labels(Tree("ADVP|PRT", (Tree("RB", word="up"),)))


def test_labels_and_words_must_pair_up() -> None:
    with pytest.raises(ValueError, match="1 labels for 0 words"):
        labels_to_tree(["||"], [])
