"""The file of a back-up: a zip that is written once, whole or not at all, and checked when read.

It grows under a name of its own and gets the right one when it is whole and on the disk. Members
are written and read as streams; the manifest comes last and has the hash of each of the others.
"""

import fcntl
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from state.backup.manifest import BackupUnusable, Manifest, Member

MANIFEST = "manifest.json"
CHUNK_BYTES = 1 << 20
LEVEL = 3
"""Of zlib: 6 takes three times as long for files that are a tenth smaller."""
BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, KeyError, RuntimeError)
MANIFEST_BYTES = 50_000_000


class Writer:
    """A back-up that is being written."""

    def __init__(self, zipped: zipfile.ZipFile) -> None:
        self._zipped = zipped
        self.members: list[Member] = []

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """Lend the function that appends to a new member."""
        digest, size = hashlib.sha256(), 0

        def put(piece: bytes) -> None:
            nonlocal size
            digest.update(piece)
            size += len(piece)
            file.write(piece)

        with self._zipped.open(name, "w", force_zip64=True) as file:
            yield put
        self.members.append(Member(name, size, digest.hexdigest()))

    def finish(self, manifest: Manifest) -> None:
        """Put the manifest behind everything else."""
        self._zipped.writestr(MANIFEST, manifest.text())


@contextmanager
def writing(path: Path, *, replace: bool) -> Iterator[Writer]:
    """Write a back-up; it is there under its name when the block has ended well.

    Args:
        path: of the file; nobody but its owner may read it.
        replace: overwrite what is there.

    Raises:
        BackupUnusable: there is a file already, the disk is full, or it cannot be written.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        if path.exists() and not replace:
            raise BackupUnusable(f"{path} is there already; --force overwrites it")
        with _held(part) as file:
            try:
                with zipfile.ZipFile(
                    file, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL
                ) as zipped:
                    yield Writer(zipped)
                file.flush()
                os.fsync(file.fileno())
                if path.exists() and not replace:  # it came meanwhile
                    raise BackupUnusable(f"{path} is there already; --force overwrites it")
                part.replace(path)
                _sync_folder(path.parent)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        raise BackupUnusable(
            f"{error.filename or path}: {error.strerror}; nothing was written"
        ) from None


@contextmanager
def _held(part: Path) -> Iterator[IO[bytes]]:
    """Open the unfinished file for us alone; what a killed back-up left is written over."""
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupUnusable(f"another back-up is just writing {part}") from None
        file.truncate()
        os.fchmod(descriptor, 0o600)
        # On a full disk, closing fails again with what could not be written: that was told.
        try:
            yield file
        except BaseException:
            with suppress(OSError):
                file.close()
            raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Reader:
    """A back-up that is being read."""

    def __init__(self, path: Path, zipped: zipfile.ZipFile) -> None:
        self.path = path
        self.size_bytes = path.stat().st_size
        self._zipped = zipped
        if MANIFEST not in zipped.namelist():
            raise BackupUnusable(f"{path} is a zip file, but no back-up of Nexus: no {MANIFEST}")
        if zipped.getinfo(MANIFEST).file_size > MANIFEST_BYTES:
            raise BackupUnusable(f"{path}: its manifest is too large to be one")
        try:
            self.manifest = Manifest.parse(b"".join(self.pieces(MANIFEST)))
        except BackupUnusable as why:
            raise BackupUnusable(f"{path}: {why}") from None

    def pieces(self, name: str) -> Iterator[bytes]:
        """Give what a member holds, piece by piece.

        Raises:
            BackupUnusable: it is damaged.
        """
        try:
            with self._zipped.open(name) as file:
                while piece := file.read(CHUNK_BYTES):
                    yield piece
        except BROKEN as error:
            raise BackupUnusable(f"{name} is damaged ({error})") from None

    def verify(self, told: Callable[[int, int], None]) -> None:
        """Read everything and compare it with the manifest.

        Args:
            told: called with how many bytes are read, and how many there are.

        Raises:
            BackupUnusable: names the first member that is not as it was written.
        """
        done, whole = 0, sum(member.size_bytes for member in self.manifest.members)
        listed = [one.name for one in self.manifest.members]
        tables = [f"tables/{one.name}" for one in self.manifest.tables]
        if sorted([*listed, MANIFEST]) != sorted(self._zipped.namelist()) or (
            [name for name in listed if name.startswith("tables/")] != tables
        ):
            raise BackupUnusable("it holds other members than its manifest says")
        for member in self.manifest.members:
            digest = hashlib.sha256()
            for piece in self.pieces(member.name):
                digest.update(piece)
                done += len(piece)
                told(done, whole)
            if digest.hexdigest() != member.sha256:
                raise BackupUnusable(f"{member.name} was changed after it was written")


@contextmanager
def reading(path: Path) -> Iterator[Reader]:
    """Open a back-up.

    Raises:
        BackupUnusable: it is not there, cut off, or none.
    """
    try:
        zipped = zipfile.ZipFile(path)
    except OSError as error:
        raise BackupUnusable(f"{path}: {error.strerror}") from None
    except BROKEN as error:
        raise BackupUnusable(
            f"{path} is no whole back-up: it was cut off, damaged, or is something else ({error})"
        ) from None
    with zipped:
        yield Reader(path, zipped)
