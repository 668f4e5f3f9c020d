"""What the recipe's scripts share on the command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recipe.errors import UserError


def make_parser(prog: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """A parser whose help shows texts as they are written."""
    return argparse.ArgumentParser(
        prog=prog, description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_configuration(parser: argparse.ArgumentParser, yaml: str, override: str) -> None:
    """The arguments ``yaml`` and ``overrides``.

    Args:
        parser: To add them to.
        yaml: What the file is, with an example.
        override: An example.
    """
    parser.add_argument("yaml", help=yaml)
    parser.add_argument("overrides", nargs="*", metavar="key=value", help=f"keys that differ, e.g. {override}")


@contextmanager
def user_errors() -> Iterator[None]:
    """Within it a :class:`UserError` becomes one line and exit code 2."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
