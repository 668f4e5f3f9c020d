"""Constituency trees, and parsing as tagging: a tree is one label a word, and labels are a tree again.

The labels are those of Gómez-Rodríguez & Vilares (2018, arXiv 1810.10994), ``<levels>|<constituent>|<chain>``:

- ``levels``: how many constituents the word shares with the next one, relative to the word before (:+d); empty for
  the last word;
- ``constituent``: the lowest of those that they share, with the names of a unary chain joined by ``+``;
- ``chain``: the constituents that hold nothing but this word, joined by ``+``.

Part-of-speech tags are not in the labels. A tree comes back exactly as it was; any other sequence of labels, as a
tagger predicts it, gives some tree over the same words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

UNKNOWN = "X"  # the Penn Treebank's name for a constituent of unknown kind
PUNCTUATION = frozenset({",", ":", "``", "''", "."})  # tags of words that parsers' scores pass over


@dataclass(frozen=True)
class Tree:
    """A constituent with children, or a leaf: a word under its part-of-speech tag."""

    label: str
    children: tuple[Tree, ...] = ()
    word: str = ""

    def __str__(self) -> str:
        return f"({self.label} {self.word or ' '.join(map(str, self.children))})"

    def leaves(self) -> list[Tree]:
        """The words under their tags, from left to right."""
        return [leaf for child in self.children for leaf in child.leaves()] if self.children else [self]


def read_trees(text: str) -> Iterator[Tree]:
    """The trees of a bracketed text. A bracket's label may be missing, as the outermost is in the Penn Treebank.

    Raises:
        ValueError: The brackets do not match, or one is empty.
    """
    open_brackets: list[tuple[str, list[Tree]]] = []
    for match in re.finditer(r"\(\s*(?P<label>[^\s()]*)(?:\s+(?P<word>[^\s()]+)\s*\))?|(?P<close>\))|\S+", text):
        if match["word"]:
            tree = Tree(match["label"], word=match["word"])
        elif match["close"] and open_brackets and open_brackets[-1][1]:
            label, children = open_brackets.pop()
            tree = Tree(label, tuple(children))
        elif match["label"] is not None:
            open_brackets.append((match["label"], []))
            continue
        else:
            raise ValueError(f"no bracketed tree: unexpected {match[0]!r} at character {match.start()}")
        if open_brackets:
            open_brackets[-1][1].append(tree)
        else:
            yield tree
    if open_brackets:
        raise ValueError(f"no bracketed tree: {len(open_brackets)} brackets are not closed")


def tree_to_labels(tree: Tree) -> list[str]:
    """One label a word.

    Raises:
        ValueError: A constituent's name holds ``|`` or ``+``.
    """
    shared: list[tuple[int, str]] = []  # for each word but the last: constituents shared with the next, the lowest
    chains: list[str] = []
    _visit(tree, 1, shared, chains)
    labels, before = [], 0
    for (depth, name), chain in zip(shared, chains, strict=False):
        labels.append(f"{depth - before:+d}|{name}|{chain}")
        before = depth
    return [*labels, f"||{chains[-1]}"]


def _visit(node: Tree, depth: int, shared: list[tuple[int, str]], chains: list[str]) -> None:
    names = []
    while node.children:
        if "|" in node.label or "+" in node.label:
            raise ValueError(f"constituent {node.label!r}: '|' and '+' have a meaning of their own in labels")
        names.append(node.label)
        first, *others = node.children
        if others:
            break
        node = first
    if not node.children:
        chains.append("+".join(names))
    for index, child in enumerate(node.children):
        if index:
            shared.append((depth, "+".join(names)))
        _visit(child, depth + 1, shared, chains)


def brackets(tree: Tree) -> Counter[tuple[str, int, int]]:
    """The constituents that a parser is scored by: label, first word, and one past the last.

    As evalb counts them with the parameters of Collins (1997), COLLINS.prm: words are numbered without punctuation,
    part-of-speech tags and a nameless root (TOP) are none, ADVP and PRT are the same.
    """
    found: Counter[tuple[str, int, int]] = Counter()
    _count_brackets(tree, 0, found)
    return found


def _count_brackets(node: Tree, start: int, found: Counter[tuple[str, int, int]]) -> int:
    """Adds the constituents below and at ``node``, whose first word is ``start``; returns one past its last."""
    if not node.children:
        return start + (node.label not in PUNCTUATION)
    stop = start
    for child in node.children:
        stop = _count_brackets(child, stop, found)
    if node.label not in ("", "TOP"):
        found["ADVP" if node.label == "PRT" else node.label, start, stop] += 1
    return stop


def labels_to_tree(labels: Sequence[str], leaves: Sequence[Tree]) -> Tree:
    """The tree over ``leaves`` (words under their tags) that the labels say, whatever they are.

    Raises:
        ValueError: There are no leaves, or not one label each.
    """
    if not leaves or len(labels) != len(leaves):
        raise ValueError(f"{len(labels)} labels for {len(leaves)} words: a tree needs one label a word")
    depth, depths, names, words = 0, [], [], []
    for label, leaf in zip(labels, leaves, strict=True):
        levels, name, chain = label.split("|")
        depth += int(levels or 0)
        depths.append(depth)
        names.append(name)
        words.append(_wrap(leaf, chain))
    return _build(words, depths, names)


def _build(words: Sequence[Tree], depths: Sequence[int], names: Sequence[str]) -> Tree:
    """The tree over the words: its root parts the neighbours that share the fewest constituents."""
    if len(words) == 1:
        return words[0]
    top = min(depths[: len(words) - 1])
    cuts = [index + 1 for index in range(len(words) - 1) if depths[index] == top]
    name = next((names[cut - 1] for cut in cuts if names[cut - 1]), UNKNOWN)
    parts = pairwise((0, *cuts, len(words)))
    children = tuple(_build(words[a:b], depths[a:b], names[a:b]) for a, b in parts)
    *outer, own = name.split("+")
    return _wrap(Tree(own, children), "+".join(outer))


def _wrap(tree: Tree, chain: str) -> Tree:
    """The tree inside the unary chain of constituents, the outermost first."""
    for name in reversed(chain.split("+") if chain else []):
        tree = Tree(name, (tree,))
    return tree
