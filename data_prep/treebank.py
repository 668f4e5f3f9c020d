"""``python -m data_prep.treebank``: a licensed copy of the Penn Treebank -> the Parquet files of ptb_pos, ptb_parsing.

What is done to the trees is what parsers' and taggers' published scores have: traces and the constituents that hold
nothing else go, as do function tags and indices (NP-SBJ-1 is NP).
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from data_prep.__main__ import Parser, fail, fail_to_write
from recipe.errors import UserError
from recipe.tasks.trees import Tree, read_trees

DESCRIPTION = """\
Read the Wall Street Journal trees of the Penn Treebank (LDC99T42, licensed) and write them as a local source has them:
one bracketed tree a row. Then convert: python -m data_prep <store> --source local:<out> --tasks ptb_pos,ptb_parsing
"""

# Sections as published: parsing since Collins (1999), part-of-speech tagging since Collins (2002).
SECTIONS: dict[str, dict[str, Sequence[int]]] = {
    "ptb_parsing": {"train": range(2, 22), "validation": (22,), "test": (23,)},
    "ptb_pos": {"train": range(0, 19), "validation": range(19, 22), "test": range(22, 25)},
}


class TreebankError(UserError):
    """A folder that is not the treebank, or a file of it that cannot be read."""


def clean(tree: Tree) -> Tree | None:
    """The tree without traces, function tags and its nameless root; None where nothing is left."""
    if tree.word:
        return None if tree.label == "-NONE-" else tree
    children = tuple(kept for child in tree.children if (kept := clean(child)))
    if not children:
        return None
    if not tree.label:
        return children[0] if len(children) == 1 else Tree("TOP", children)
    return Tree(re.split("[-=|]", tree.label)[0] or tree.label, children)


def read_sections(folder: Path, sections: Iterable[int]) -> list[Tree]:
    """The cleaned trees of ``<folder>/<two digits>/*.mrg``, in the files' order.

    Raises:
        TreebankError: A section is missing, or a file does not hold trees.
    """
    trees = []
    for section in sections:
        paths = sorted((folder / f"{section:02d}").glob("*.mrg"))
        if not paths:
            raise TreebankError(
                f"{folder / f'{section:02d}'}: no .mrg files; give the folder of the combined trees, parsed/mrg/wsj"
            )
        for path in paths:
            try:
                found = [clean(tree) for tree in read_trees(path.read_text(encoding="latin-1"))]
            except (ValueError, OSError) as error:
                raise TreebankError(f"{path}: {error}; copy it again") from error
            trees.extend(tree for tree in found if tree)
    return trees


def write(treebank: Path, out: Path) -> dict[str, int]:
    """Write ``<out>/<task>/<split>.parquet`` for both tasks; returns the trees of each by ``task/split``."""
    counts = {}
    for task, splits in SECTIONS.items():
        (out / task).mkdir(parents=True, exist_ok=True)
        for split, sections in splits.items():
            trees = read_sections(treebank, sections)
            path = out / task / f"{split}.parquet"
            partial = path.with_suffix(".partial")
            pq.write_table(pa.table({"tree": [str(tree) for tree in trees]}), partial, compression="zstd")
            os.replace(partial, path)
            counts[f"{task}/{split}"] = len(trees)
    return counts


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    parser = Parser("python -m data_prep.treebank", DESCRIPTION)
    parser.add_argument("treebank", type=Path, help="folder of the sections 00 to 24 with .mrg files")
    parser.add_argument("out", type=Path, help="folder of the local source, new or existing")
    options = parser.parse_args(arguments)
    try:
        counts = write(options.treebank, options.out)
    except UserError as error:
        return fail(error)
    except OSError as error:
        return fail_to_write(error, options.out)
    for name, count in counts.items():
        print(f"{options.out}/{name}.parquet: {count:,} trees")
    return 0


if __name__ == "__main__":
    sys.exit(main())
