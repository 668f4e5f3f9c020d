"""The command line of an evaluation and of a study: list what would run, or run it and show the report."""

from __future__ import annotations

import inspect
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from recipe.command_line import add_configuration, make_parser, user_errors

T = TypeVar("T")


def compare_command(
    arguments: Sequence[str] | None,
    *,
    script: str,
    description: str,
    schemas: Sequence[type],
    yaml: str,
    override: str,
    load: Callable[[str, Sequence[str]], T],
    describe: Callable[[T, float | None], str],
    run: Callable[[T, str], Path],
) -> None:
    """Reads the command line and does what it says.

    Args:
        arguments: Default: the process's own.
        script: ``recipe/<name>.py``.
        description: Heads the help.
        schemas: Dataclasses of the keys, whose source ends it.
        yaml: What the YAML is, with an example.
        override: An example of a key that differs.
        load: Of the YAML and the overrides, the configuration.
        describe: What would run, for ``--dry-run``, given the examples that are trained on in a second, if known.
        run: Of the configuration and the command, the path of ``report.html``.
    """
    parser = make_parser(script, description, "\n\n".join(map(inspect.getsource, schemas)))
    add_configuration(parser, yaml, override)
    parser.add_argument("--dry-run", action="store_true", help="list the runs, their steps and hours, and stop")
    parser.add_argument(
        "--speed",
        type=float,
        metavar="N",
        help="examples a second of one run (throughput/examples_per_s of its kind): hours before any run is done",
    )
    given = parser.parse_args(arguments)
    with user_errors():
        config = load(given.yaml, given.overrides)
        if given.dry_run:
            print(describe(config, given.speed))
            return
        report = run(config, shlex.join(["python", script, given.yaml, *given.overrides]))
    print(report.with_suffix(".md").read_text(encoding="utf-8"))
    print(f"written: {report} and report.md beside it")
