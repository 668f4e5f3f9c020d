"""Converting units by their pieces: what earlier runs finished is taken over, the rest is handed to workers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from transformers.tokenization_utils_fast import PreTrainedTokenizerFast

from data_prep.convert import ConversionError, Report, Settings, Unit
from data_prep.examples import InvalidData
from data_prep.executors import Job, Outcome, convert_here, convert_in_processes
from data_prep.finish import find_parts, finish_stream
from data_prep.folder import WriteError
from data_prep.part import Part
from recipe.data.manifest import Manifest
from recipe.errors import UserError

if TYPE_CHECKING:
    from distributed import Client  # an optional requirement

Done = Callable[[Unit, Manifest], None]


def convert_units(
    units: Sequence[Unit],
    settings: Settings,
    tokenizer: PreTrainedTokenizerFast,
    workers: int,
    report: Report,
    done: Done,
    *,
    cluster: Client | None = None,
    overwrite: bool = False,
) -> list[UserError]:
    """Convert units, and go on with the others when one fails; stop where the store or the workers fail.

    Parts of units that could not be finished are kept for the next run, but not where the data was at fault: whether
    the data or the adapter is put right, they would no longer be right themselves.

    Args:
        workers: Processes, where there is no cluster.
        report: Told how many more source rows were handled, all workers together.
        done: Told of each finished unit.
        cluster: A Dask cluster whose workers convert the pieces.
        overwrite: Convert again what earlier runs left of unfinished units.

    Returns:
        The errors, fit to be shown to the user. Anything else is raised.
    """
    errors: list[UserError] = []
    refused: list[Unit] = []
    try:
        parts: dict[str, dict[int, Part]] = {}
        for unit in units:
            parts[unit.place] = {} if overwrite else find_parts(unit)
            report(sum(part.read for part in parts[unit.place].values()))
            unit.open().begin()
        jobs = [(unit, number) for unit in units for number in unit.pieces if number not in parts[unit.place]]
        whole = [unit for unit in units if len(parts[unit.place]) == len(unit.pieces)]
        _finish(whole, parts, done, errors)
        with closing(cast(Any, _outcomes(jobs, settings, tokenizer, workers, cluster, report))) as outcomes:
            for (unit, number), outcome in outcomes:
                if isinstance(outcome, WriteError):
                    raise outcome
                if isinstance(outcome, Part):
                    parts[unit.place][number] = outcome
                    if len(parts[unit.place]) == len(unit.pieces):
                        _finish([unit], parts, done, errors)
                else:
                    errors.append(outcome)
                    refused += [unit] * isinstance(outcome, InvalidData)
        for unit in refused:
            unit.open().discard()
    except (WriteError, ConversionError) as error:
        errors.append(error)
    return errors


def _finish(units: Sequence[Unit], parts: dict[str, dict[int, Part]], done: Done, errors: list[UserError]) -> None:
    """Make streams of units whose parts are complete."""
    for unit in units:
        try:
            done(unit, finish_stream(unit, parts.pop(unit.place)))
        except WriteError:
            raise
        except UserError as error:
            unit.open().discard()
            errors.append(error)


def _outcomes(
    jobs: Sequence[Job],
    settings: Settings,
    tokenizer: PreTrainedTokenizerFast,
    workers: int,
    cluster: Client | None,
    report: Report,
) -> Iterator[Outcome]:
    if cluster is not None:
        from data_prep.cluster import convert_on_cluster

        return convert_on_cluster(jobs, settings, tokenizer, cluster, report)
    if min(workers, len(jobs)) <= 1:
        return convert_here(jobs, settings, tokenizer, report)
    return convert_in_processes(jobs, settings, tokenizer, min(workers, len(jobs)), report)
