"""Back-ups for tests: made and brought back without the command line."""

from datetime import datetime
from pathlib import Path

from state.backup.archive import reading, writing
from state.backup.dump import dump
from state.backup.load import Restored, check, load
from state.backup.manifest import Manifest


def silent(done: int, whole: int) -> None:
    """Watch progress without a word."""


async def back_up(dsn: str, path: Path) -> Manifest:
    """Write a back-up; its folder stands for the state folder."""
    with writing(path, replace=False) as archive:
        return await dump(dsn, archive, path.parent, version="4.0.0", told=silent)


async def bring_back(path: Path, dsn: str, *, stopped_at: datetime | None = None) -> Restored:
    """Check a back-up and restore it."""
    with reading(path) as archive:
        check(archive.manifest)
        archive.verify(silent)
        return await load(dsn, archive, stopped_at=stopped_at, actor="test", told=silent)
