"""Where a model starts from: whatever names weights, as ``backbone.name`` takes it."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

from filelock import FileLock

from recipe.checkpoint import BEST_OR_LATEST, CHECKPOINTS, CheckpointError, find_checkpoint
from recipe.errors import UserError
from recipe.export.folder import export


def exported_start(start: str) -> str:
    """What ``backbone.name`` takes for a start: for a run its exported checkpoint, anything else as it is.

    A run's best checkpoint, else its latest, is exported to ``<run>/exported/<checkpoint>-<checksum>/`` by whoever asks
    first; other processes wait for it, and it is there for the next. A run that went on and has another best
    checkpoint gets another folder.

    Args:
        start: A Hub name, a local model's folder, an exported folder, or the folder of a run.

    Raises:
        CheckpointError: The run has no checkpoint, or it cannot be read.
        UserError: The run's folder cannot be written.
    """
    run = Path(start)
    if not (run / CHECKPOINTS).is_dir():
        return start
    checkpoint = find_checkpoint(run, BEST_OR_LATEST)
    folder = run / "exported" / f"{checkpoint.stem}-{_checksum(checkpoint)}"
    if not folder.is_dir():
        try:
            folder.parent.mkdir(exist_ok=True)
            with FileLock(folder.with_name(f".{folder.name}.lock")):
                if not folder.is_dir():
                    export(checkpoint, folder, heads=())
        except OSError as error:
            raise UserError(
                f"cannot write {folder} ({error.strerror}): export {run} to a folder that you can write, "
                "python -m recipe.export, and start from that"
            ) from error
    return str(folder)


def _checksum(checkpoint: Path) -> str:
    """Eight hex digits that change with the content; from the archive's own checksums, without reading it."""
    try:
        with zipfile.ZipFile(checkpoint) as archive:
            checksums = [entry.CRC for entry in archive.infolist()]
    except (zipfile.BadZipFile, OSError) as error:
        raise CheckpointError(f"{checkpoint} is not a checkpoint of this recipe or is damaged ({error})") from error
    return hashlib.sha256(repr(checksums).encode()).hexdigest()[:8]
