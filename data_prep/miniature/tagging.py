"""Tagging in small: sentences that are built as trees, so that tags and chunks follow from what they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from datasets import ClassLabel
from datasets import List as ListOf

from data_prep.miniature import words
from data_prep.miniature.sentences import Draw, Fact, Miniature, columns, draw_fact
from recipe.tasks import get_task
from recipe.tasks.trees import Tree

# CoNLL-2000's part-of-speech tags in the Hub's order.
_POS = (
    "''", "#", "$", "(", ")", ",", ".", ":", "``", "CC", "CD", "DT", "EX", "FW", "IN", "JJ", "JJR", "JJS", "MD", "NN",
    "NNP", "NNPS", "NNS", "PDT", "POS", "PRP", "PRP$", "RB", "RBR", "RBS", "RP", "SYM", "TO", "UH", "VB", "VBD", "VBG",
    "VBN", "VBP", "VBZ", "WDT", "WP", "WP$", "WRB",
)  # fmt: skip
_CHUNKS = ("NP", "ADVP", "PP", "VP")


def _node(label: str, *children: Tree) -> Tree:
    return Tree(label, children)


def _leaves(text: str) -> list[Tree]:
    """``DT/the NN/box`` -> two leaves."""
    return [Tree(tag, word=word) for tag, word in (pair.split("/", 1) for pair in text.split())]


def _sentence(draw: Draw) -> Tree:
    """A fact; sometimes with an adverb, a name in brackets, or cut down to a command or a heading."""
    fact = draw_fact(draw.rng)
    if draw.chance(0.1):
        return _short(draw, fact)
    subject = _node("NP", *_leaves(f"DT/The JJ/{fact.adjective} NN/{fact.subject}"))
    if draw.chance(0.2):
        left, name, right = _leaves(f"-LRB-/-LRB- NNP/{draw.rng.choice(words.NAMES)} -RRB-/-RRB-")
        subject = _node("NP", subject, _node("PRN", left, _node("NP", name), right))
    place = _node("PP", *_leaves(f"IN/{fact.preposition}"), _node("NP", *_leaves(f"DT/the NN/{fact.place}")))
    verb = _leaves(f"VBD/{words.VERBS[fact.verb]}")
    if draw.chance(0.3):
        adverb = draw.rng.choice(words.AGREEING + words.DENYING)
        verb = [_node("ADVP", *_leaves(f"RB/{adverb}")), *verb]
    predicate = _node("VP", *verb, _node("NP", *_leaves(f"DT/the NN/{fact.object}")), place)
    return _node("S", subject, predicate, *_leaves("./."))


def _short(draw: Draw, fact: Fact) -> Tree:
    """Constituents inside one another that hold the same words, down to a tree of one word."""
    if draw.chance(0.5):
        return _node("FRAG", _node("NP", *_leaves(f"NN/{draw.rng.choice(words.PLACES)}")))
    command = _node("VP", *_leaves(f"VB/{fact.verb.title()}"), _node("NP", *_leaves(f"DT/the NN/{fact.object}")))
    return _node("S", _node("S", command), *_leaves("./."))


def _tree(draw: Draw) -> dict[str, Any]:
    return {"tree": str(_sentence(draw))}


def _conll2000(draw: Draw) -> dict[str, Any]:
    """As the Hub's splits have it, one sentence may be empty."""
    chunks = [] if draw.chance(0.02) else _chunks(_sentence(draw))
    labels = get_task("conll2000_chunking").labels
    tags = [
        labels.index(name if name == "O" else f"{'I' if index else 'B'}-{name}")
        for name, leaves in chunks
        for index in range(len(leaves))
    ]
    leaves = [leaf for _, own in chunks for leaf in own]
    return {
        "id": str(draw.number),
        "tokens": [{"-LRB-": "(", "-RRB-": ")"}.get(leaf.word, leaf.word) for leaf in leaves],
        "pos_tags": [_POS.index({"-LRB-": "(", "-RRB-": ")"}.get(leaf.label, leaf.label)) for leaf in leaves],
        "chunk_tags": tags,
    }


def _chunks(tree: Tree) -> list[tuple[str, Sequence[Tree]]]:
    """The leaves directly under each constituent, in the text's order: a chunk where its name is one, else outside."""
    chunks: list[tuple[str, Sequence[Tree]]] = []
    for is_leaf, group in groupby(tree.children, key=lambda child: not child.children):
        if not is_leaf:
            chunks.extend(chunk for child in group for chunk in _chunks(child))
        elif tree.label in _CHUNKS:
            chunks.append((tree.label, list(group)))
        else:
            chunks.extend(("O", [leaf]) for leaf in group)
    return chunks


_TREES = columns("tree")
_CONLL = columns(
    "id",
    texts="tokens",
    pos_tags=ListOf(ClassLabel(names=list(_POS))),
    chunk_tags=ListOf(ClassLabel(names=list(get_task("conll2000_chunking").labels))),
)

TABLE: dict[str, Miniature] = {
    "conll2000_chunking": Miniature(_CONLL, _conll2000, 300, 60),
    "ptb_pos": Miniature(_TREES, _tree, 300, 60),
    "ptb_parsing": Miniature(_TREES, _tree, 300, 60),
}
