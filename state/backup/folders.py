"""Folders that belong into a back-up besides the database: their files, as they are.

A SQLite file that somebody writes into meanwhile is copied by SQLite itself, so the copy is whole.
"""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path, PurePosixPath
from typing import IO
from urllib.parse import quote

from state.backup.archive import CHUNK_BYTES, Reader, Writer
from state.backup.manifest import BackupUnusable

FOLDERS = ("media", "whatsapp_sessions")
"""Below the state folder: files of shops, and sessions of linked devices. Where they are."""
SQLITE = b"SQLite format 3\0"
BESIDE = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a database; it is in the copy already."""


def put_folders(archive: Writer, root: Path) -> None:
    """Copy the files of those folders that there are."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_symlink() or not path.is_file() or _is_beside(path):
                continue
            name = f"files/{path.relative_to(root).as_posix()}"
            with _still(path) as file, archive.member(name) as put:
                while piece := file.read(CHUNK_BYTES):
                    put(piece)


def _is_beside(path: Path) -> bool:
    return any(
        path.name.endswith(end) and path.with_name(path.name.removesuffix(end)).exists()
        for end in BESIDE
    )


@contextmanager
def _still(path: Path) -> Iterator[IO[bytes]]:
    """Lend a file, open, that does not change while it is read."""
    with path.open("rb") as file:
        if file.read(len(SQLITE)) != SQLITE:
            file.seek(0)
            yield file
            return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        try:
            with (
                closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)) as source,
                closing(sqlite3.connect(copy)) as target,
            ):
                source.backup(target)
        except sqlite3.Error as error:
            raise BackupUnusable(f"{path} cannot be copied: {error}") from None
        with copy.open("rb") as file:
            yield file


@contextmanager
def laid_out(archive: Reader, root: Path) -> Iterator[list[str]]:
    """Lay the files out beside their folders, and put them in place when the block ended well.

    What was there before is kept as `<folder>.before-restore`. Lends the folders' names.

    Raises:
        BackupUnusable: a name leads elsewhere.
    """
    names = [one.name for one in archive.manifest.members if one.name.startswith("files/")]
    paths = {name: _path_of(name) for name in names}
    folders = sorted({path.parts[0] for path in paths.values()})
    halves = {folder: root / f".{folder}.restoring" for folder in folders}
    try:
        for half in halves.values():
            shutil.rmtree(half, ignore_errors=True)
        for name, path in paths.items():
            target = halves[path.parts[0]].joinpath(*path.parts[1:])
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                for piece in archive.pieces(name):
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
        yield folders
        for folder, half in halves.items():
            before = root / f"{folder}.before-restore"
            if (root / folder).exists():
                shutil.rmtree(before, ignore_errors=True)
                (root / folder).rename(before)
            half.rename(root / folder)
    finally:
        for half in halves.values():
            shutil.rmtree(half, ignore_errors=True)


def _path_of(name: str) -> PurePosixPath:
    path = PurePosixPath(name.removeprefix("files/"))
    if path.is_absolute() or ".." in path.parts or len(path.parts) < 2:
        raise BackupUnusable(f"{name} leads out of the state folder")
    if path.parts[0] not in FOLDERS:
        raise BackupUnusable(f"{name} is in no folder that a back-up may hold")
    return path
