"""Checkpoint -> Hugging Face folder with heads.

    python -m recipe.export runs/roberta_base exported/roberta_base

The folder holds what ``AutoModel.from_pretrained`` and ``AutoTokenizer.from_pretrained`` load, and beside it
heads.safetensors (every head's weights) and heads.json (the tasks and their labels). A run whose ``backbone.name`` is
such a folder starts from these weights and re-uses the heads of the tasks it shares.
"""

from __future__ import annotations

import argparse
import sys

from recipe.errors import UserError
from recipe.export import export


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m recipe.export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="a run, runs/<name> (its best checkpoint, else the latest), or a checkpoint")
    parser.add_argument("folder", help="folder to write; must not exist")
    arguments = parser.parse_args()
    try:
        export(arguments.source, arguments.folder)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    print(f"written: {arguments.folder}. Load it with AutoModel.from_pretrained({arguments.folder!r})")


if __name__ == "__main__":
    main()
