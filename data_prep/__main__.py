"""``python -m data_prep``: raw datasets -> a shard store, and the commands that look at one."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from data_prep.sources import Source, SourceError, parse_source
from recipe.data.manifest import SPLITS, TRAINING_SPLITS
from recipe.errors import UserError
from recipe.tasks.catalogue import CATALOGUE, Family, Task, get_task, known_tasks

DESCRIPTION = """\
Convert raw datasets into a shard store: token ids in MDS shards, one stream for each task and split.

Each stream appears when it is complete. Datasets are cut into pieces of some seconds of work, so a conversion that was
stopped, by whatever cause, goes on when it is started again: what is already there, from the same data with the same
settings, is left alone. The shards are the same, byte by byte, however many workers there were or interruptions.
"""

EXAMPLES = """\
sources:
  hub                the Hugging Face Hub: every dataset from where it is today, into the usual caches (HF_HOME); the
                     largest are streamed. HF_TOKEN opens private repositories, HF_HUB_OFFLINE=1 reads the caches only
  miniature          small generated datasets of every task, nothing to download
  local:<folder>     Parquet files <folder>/<task>/<split>.parquet with the columns of the Hub's versions, or .jsonl
                     where the dataset was published as JSON Lines; for --tasks dapt_<name> the lines of
                     <folder>/<name>/domain*.txt, plain text to be masked in training

your own data (docs/add_a_task.md):
  --user-tasks <YAML>  CSV, TSV, JSONL or Parquet files that the YAML's section user_tasks describes; a run's own YAML
                       will do. What looks at the store later takes the same option

stores:
  <folder>                          shards are written beside their place and renamed into it
  s3:// gs:// azure:// oci://       <bucket>/<prefix>; credentials as the cloud's own tools find them, the endpoint
                                    of S3-compatible stores in S3_ENDPOINT_URL; needs room for a shard or two for
                                    each worker in the temporary folder (TMPDIR). While a stream is replaced by one
                                    with other settings, the old one is not available.

examples:
  # the 46, from the Hub
  python -m data_prep shards --tokenizer facebook/bart-large
  # those of them that a folder has files of
  python -m data_prep shards --source local:raw --tokenizer FacebookAI/roberta-large
  # two tasks, a quick look
  python -m data_prep /tmp/look --source local:raw --tokenizer facebook/bart-base --tasks rte,squad --limit 100
  # what fine-tuning adds: STS-B, ANLI, chunking, ...
  python -m data_prep shards --source local:raw --tokenizer FacebookAI/roberta-base --downstream
  # what an encoder can learn
  python -m data_prep shards --source local:raw --tokenizer FacebookAI/roberta-base \\
      --families classification,commonsense,mrc --workers 16
  # into a bucket, by a Dask cluster: `dask scheduler` here, `dask worker host:8786 --nthreads 1 --nworkers 16` there
  python -m data_prep s3://bucket/shards --source local:/nfs/raw --tokenizer FacebookAI/roberta-base \\
      --scheduler tcp://host:8786
  # test splits of the same tasks, beside what is there; benchmarks withhold the labels of theirs
  python -m data_prep shards --tokenizer facebook/bart-large --splits test
  # your own data
  python -m data_prep shards --user-tasks my_reviews.yaml --tokenizer FacebookAI/roberta-base
  # offline: train a small tokenizer first
  python -m data_prep.train_tokenizer /tmp/tokenizer --source miniature
  python -m data_prep /tmp/shards --source miniature --tokenizer /tmp/tokenizer --max-length 128

what to do with a store (each has its own --help):
  python -m data_prep verify <store>     every byte and every example
  python -m data_prep card <store>       a data card: what is in it, from where, how long, how balanced
  python -m data_prep overlap <store>    training examples that are also in evaluation sets

exit code: 0 all streams are there; 2 something is wrong, said in one line for each task; 130 interrupted
"""

COMMANDS = ("verify", "card", "overlap")  # modules of this package, each with a main


class Parser(argparse.ArgumentParser):
    """Shows its description and epilogue as they are written, and says what is wrong in one line.

    Args:
        prog: The command, as it is called.
        description: What it does.
        epilog: Examples and exit codes.
    """

    def __init__(self, prog: str, description: str, epilog: str | None = None):
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(prog=prog, description=description, epilog=epilog, formatter_class=formatter)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def comma_list(text: str) -> list[str]:
    """``a,b`` -> ``["a", "b"]``"""
    return [part.strip() for part in text.split(",") if part.strip()]


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def add_user_tasks(parser: argparse._ActionsContainer) -> None:
    """The option that names the YAML of a user's own tasks, the same for all commands."""
    parser.add_argument("--user-tasks", metavar="YAML", help="a YAML whose section user_tasks describes your own data")


def _parser() -> Parser:
    parser = Parser("python -m data_prep", DESCRIPTION, EXAMPLES)
    add = parser.add_argument
    add("store", help="folder or URL of the shard store, new or existing; several tokenizers can share one")
    origin = parser.add_mutually_exclusive_group()
    origin.add_argument("--source", default="hub", help="where raw rows come from (see below; default: %(default)s)")
    add_user_tasks(origin)
    add("--tokenizer", required=True, help="the backbone's: a name on the Hub or a folder")
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--tasks",
        type=comma_list,
        help="keys, comma separated (default: those of the 46 that the source has)",
    )
    which.add_argument("--families", type=comma_list, help="only tasks of these families, comma separated")
    add("--downstream", action="store_true", help="the tasks for fine-tuning only, in place of the 46")
    add("--exclude", type=comma_list, default=[], help="tasks to leave out, comma separated")
    add(
        "--splits",
        type=comma_list,
        default=list(TRAINING_SPLITS),
        help="train, validation, test, comma separated; test is that of the tasks that have one (default: %(default)s)",
    )
    add(
        "--limit",
        type=positive,
        help="most rows of each split, evenly spaced over it, the first of a streamed one (default: all)",
    )
    add("--max-length", type=positive, default=512, help="most tokens of a row (default: %(default)s)")
    add("--max-target-length", type=positive, default=128, help="most tokens of a summary (default: %(default)s)")
    add("--stride", type=positive, help="tokens that windows of a long context share (default: max-length / 4)")
    add("--workers", type=positive, default=os.cpu_count() or 1, help="processes (default: one a core, %(default)s)")
    add(
        "--scheduler",
        metavar="ADDRESS",
        help="convert on a Dask cluster instead, such as tcp://host:8786; its workers must see the store and the "
        "source (a URL, or an absolute path on a shared disk) and have this package installed",
    )
    add("--overwrite", action="store_true", help="convert again what is already there")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in COMMANDS:
        try:
            return importlib.import_module(f"data_prep.{arguments[0]}").main(arguments[1:])
        except KeyboardInterrupt:
            print("interrupted: the store is as it was", file=sys.stderr)
            return 130
    options = _parser().parse_args(arguments)
    try:
        if options.user_tasks:
            options.source = f"user:{os.path.abspath(options.user_tasks)}"
        source = parse_source(options.source)
        tasks = select_tasks(source, options.tasks, options.families, options.exclude, options.downstream)
        unknown = [split for split in options.splits if split not in SPLITS]
        if unknown or not options.splits:
            raise SourceError(f"--splits {','.join(unknown)}: expected some of {', '.join(SPLITS)}")
    except UserError as error:
        return fail(error)
    return _convert(options, tasks)


def fail(*errors: Exception) -> int:
    """Say what is wrong, a line for each error; returns the exit code."""
    for error in errors:
        print("error:", " ".join(str(error).split()), file=sys.stderr)
    return 2


def fail_to_write(error: OSError, path: str | Path) -> int:
    """Say which file cannot be written, ``path`` where the error names none; returns the exit code."""
    return fail(OSError(f"{error.filename or path}: cannot be written: {error.strerror}"))


def select_tasks(
    source: Source,
    tasks: Sequence[str] | None,
    families: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    downstream: bool = False,
) -> list[str]:
    """The keys of the tasks to convert: those named, else the source's for pre-finetuning (or ``downstream``), or all
    of a user's own.

    Raises:
        UnknownTask: A key that the catalogue does not have.
        NoAdapter: A task that cannot be converted.
        SourceError: A family that has no such tasks, or nothing is left.
    """
    from data_prep.adapters import ADAPTERS, get_adapter

    for key in (*(tasks or ()), *exclude):
        get_adapter(key)
    convertible = (get_task(key) for key in source.tasks() if key in ADAPTERS or key not in CATALOGUE)
    offered = [task for task in convertible if _is_offered(task, downstream)]
    if tasks and downstream:
        raise SourceError("--downstream: chooses tasks in place of --tasks; give one of them")
    _check_families(families or (), downstream)
    chosen = list(dict.fromkeys(tasks or [t.key for t in offered if not families or t.family.value in families]))
    chosen = [key for key in chosen if key not in exclude]
    if not chosen:
        raise SourceError("no tasks left to convert: look at the source, --tasks, --families and --exclude")
    return chosen


def _is_offered(task: Task, downstream: bool) -> bool:
    return task.key not in CATALOGUE or task.prefinetune != downstream


def _check_families(families: Sequence[str], downstream: bool) -> None:
    known = {family.value for family in Family}
    there = list(dict.fromkeys(task.family.value for task in known_tasks().values() if _is_offered(task, downstream)))
    for family in families:
        if family not in there:
            reason = "is unknown"
            if family in known:
                reason = "has no downstream task" if downstream else "is learned in fine-tuning only (add --downstream)"
            raise SourceError(f"--families: {family!r} {reason}; choose from {', '.join(there)}")


def _convert(options: argparse.Namespace, tasks: list[str]) -> int:
    # Imported here: it takes seconds, and a mistyped option should be reported at once.
    from data_prep.encode import Limits
    from data_prep.run import Settings, run

    try:
        limits = Limits(options.max_length, options.max_target_length, options.stride or options.max_length // 4)
        settings = Settings(options.store, options.source, limits, options.limit)
        errors = run(
            tasks,
            options.splits,
            settings,
            options.tokenizer,
            workers=options.workers,
            scheduler=options.scheduler,
            overwrite=options.overwrite,
        )
    except UserError as error:
        errors = [error]
    except KeyboardInterrupt:
        print("interrupted: what is finished stays; the same command goes on from there", file=sys.stderr)
        return 130
    return fail(*errors) if errors else 0


if __name__ == "__main__":
    sys.exit(main())
