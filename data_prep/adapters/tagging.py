"""Tagging: words and a tag for each. Parsing is tagging too, with labels that a tree can be rebuilt from."""

from __future__ import annotations

from data_prep.adapters.adapter import AdapterFor, Row, adapter_of, read_class
from data_prep.examples import InvalidData, TaggingExample, Unusable
from recipe.tasks import Task
from recipe.tasks.trees import Tree, read_trees, tree_to_labels

EMPTY_SENTENCE = "empty sentence"

# How the Penn Treebank writes what a tokenizer has learned to read otherwise.
_WORDS = {
    "-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}",
    "``": '"', "''": '"', r"\/": "/", r"\*": "*",
}  # fmt: skip


def read_word(word: str) -> str:
    """The word as it is printed in a newspaper."""
    return _WORDS.get(word, word.replace(r"\/", "/").replace(r"\*", "*"))


def _conll2000(task: Task, row: Row) -> TaggingExample:
    """The Hub's splits both end with a sentence without words."""
    words, numbers = row["tokens"], row["chunk_tags"]
    if len(words) != len(numbers):
        raise InvalidData(f"task {task.key}: {len(words)} tokens but {len(numbers)} chunk_tags")
    if not words:
        raise Unusable(EMPTY_SENTENCE)
    tags = tuple(task.labels[read_class(task, number)] for number in numbers)
    return TaggingExample(tuple(map(read_word, words)), tags)


def _read_tree(task: Task, row: Row) -> Tree:
    try:
        (tree,) = read_trees(row["tree"] or "")
    except ValueError as error:
        raise InvalidData(f"task {task.key}: tree {row['tree']!r} is not one bracketed tree ({error})") from error
    return tree


def _words(tree: Tree) -> tuple[str, ...]:
    return tuple(read_word(leaf.word) for leaf in tree.leaves())


def _ptb_pos(task: Task, row: Row) -> TaggingExample:
    tree = _read_tree(task, row)
    tags = tuple(leaf.label for leaf in tree.leaves())
    if not set(tags) <= set(task.labels):
        raise Unusable("a tag that is none of the treebank's 45")
    return TaggingExample(_words(tree), tags)


def _ptb_parsing(task: Task, row: Row) -> TaggingExample:
    tree = _read_tree(task, row)
    return TaggingExample(_words(tree), tuple(tree_to_labels(tree)), str(tree))


TABLE: dict[str, AdapterFor] = {
    "conll2000_chunking": adapter_of(("tokens", "chunk_tags"), _conll2000),
    "ptb_pos": adapter_of(("tree",), _ptb_pos),
    "ptb_parsing": adapter_of(("tree",), _ptb_parsing),
}
