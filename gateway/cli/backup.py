"""Write everything into one file, while everything runs."""

import argparse
import asyncio
import getpass
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from gateway.cli.command import Command
from gateway.cli.environment import settings_here
from gateway.cli.output import print_json
from gateway.cli.progress import Progress
from runtime.errors import RuntimeFault
from runtime.host.layout import Layout
from runtime.host.lent import postgres_of
from runtime.settings import Settings
from state.backup.archive import writing
from state.backup.dump import dump
from state.backup.manifest import BackupUnusable, Manifest
from state.backup.records import note_backup
from state.database import Database
from state.errors import StateFault

MEGABYTE = 1_000_000


class BackupRefused(RuntimeFault):
    """A back-up cannot be made or restored."""


@contextmanager
def refusing() -> Iterator[None]:
    """Turn what is wrong with a back-up into one line and exit code 1."""
    try:
        yield
    except BackupUnusable as why:
        raise BackupRefused(str(why)) from None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("file", metavar="FILE", type=Path, help="where to write it, e.g. a.backup")
    parser.add_argument("--force", action="store_true", help="overwrite FILE")
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Make a back-up."""
    settings = settings_here(environ)
    path = args.file.expanduser().absolute()
    began = time.monotonic()
    with refusing():
        manifest, size = asyncio.run(_make(settings, path, force=args.force, quiet=args.json))
    seconds = time.monotonic() - began
    if args.json:
        print_json({"file": str(path), "bytes": size, "seconds": seconds, **told(manifest)})
    else:
        print(f"{path}: {size / MEGABYTE:,.2f} MB, {seconds:.1f} s")
        print(in_words(manifest))
        if manifest.keys:
            print(f"Credentials are sealed in it. Keep with it: key {', '.join(manifest.keys)}.")
    return 0


async def _make(
    settings: Settings, path: Path, *, force: bool, quiet: bool
) -> tuple[Manifest, int]:
    progress = Progress("backing up", shown=not quiet)
    async with postgres_of(settings) as dsn:
        with writing(path, replace=force) as archive:
            manifest = await dump(
                dsn,
                archive,
                Layout.at(settings.state_dir).root,
                version=settings.app_version,
                told=progress.at,
            )
            progress.end()
        size = os.stat(path).st_size
        await _note(dsn, manifest, path, size)
    return manifest, size


async def _note(dsn: str, manifest: Manifest, path: Path, size_bytes: int) -> None:
    """Remember it for `nexus keys`; the file is good, whatever becomes of this."""
    database = await Database.open(dsn, application="nexus backup", maximum=1)
    try:
        async with database.engine() as connection, connection.transaction():
            await note_backup(
                connection,
                manifest,
                file=str(path),
                size_bytes=size_bytes,
                actor=f"cli:{getpass.getuser()}",
            )
    except StateFault as error:
        raise BackupRefused(
            f"{path} is whole, but was not noted for `nexus keys`: {error}"
        ) from None
    finally:
        await database.aclose()


def told(manifest: Manifest) -> dict[str, object]:
    """Return what a back-up holds, as JSON shows it."""
    return {
        "version": manifest.version,
        "made_at": manifest.snapshot_at,
        "shops": manifest.rows("shop") - 1,
        "conversations": manifest.rows("conversation"),
        "messages": manifest.rows("message"),
        "credentials": manifest.keys,
        "files": sum(one.name.startswith("files/") for one in manifest.members),
        "rows": {table.name: table.rows for table in manifest.tables if table.rows},
    }


def in_words(manifest: Manifest) -> str:
    """Return what a back-up holds, in one line."""
    counts = {
        "shops": manifest.rows("shop") - 1,
        "conversations": manifest.rows("conversation"),
        "messages": manifest.rows("message"),
        "products": manifest.rows("product"),
        "documents and catalogues": manifest.rows("source"),
        "credentials": sum(manifest.keys.values()),
    }
    holds = ", ".join(f"{what}: {count:,}" for what, count in counts.items() if count) or "nothing"
    when = manifest.snapshot_at.astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    return f"Of {when}, by Nexus {manifest.version}. It holds {holds}."


COMMAND = Command(
    "backup",
    "Write one file with everything (database, files, sessions), while everything runs.",
    add_arguments,
    run,
    example="nexus backup ~/nexus-monday.backup",
)
