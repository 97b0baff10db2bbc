"""Bring back what a back-up holds: to a fresh machine, or in place of what is there."""

import argparse
import asyncio
import getpass
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from gateway.cli.backup import BackupRefused, in_words, refusing, told
from gateway.cli.command import Command, WrongUsage
from gateway.cli.output import print_json
from gateway.cli.progress import Progress
from runtime.errors import ConfigurationError
from runtime.host.keys import kept_here
from runtime.host.layout import Layout
from runtime.host.lent import postgres_of
from runtime.host.stack import read_stack
from runtime.settings import Settings, load_settings
from state.backup.archive import Reader, reading
from state.backup.folders import laid_out
from state.backup.load import Restored, check, load
from state.backup.manifest import Manifest
from state.backup.target import Found, found_in
from state.keyring import KeyRing


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("file", metavar="FILE", type=Path, help="what `nexus backup` wrote")
    parser.add_argument(
        "--dry-run", action="store_true", help="only check FILE and say what it holds"
    )
    parser.add_argument("--replace", action="store_true", help="lose what is there now")
    parser.add_argument(
        "--stopped-at",
        metavar="TIME",
        help="when the installation last ran, e.g. 2026-11-25T06:00-03:00; default: until now."
        " Messages written later, which come after the restore, are answered by the agent",
    )
    parser.add_argument("--json", action="store_true")


def run(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    """Check a back-up and restore it."""
    settings = load_settings(environ)
    stopped_at = None if args.stopped_at is None else _moment(args.stopped_at)
    path = args.file.expanduser().absolute()
    if not path.is_file():
        raise WrongUsage(f"{args.file}: No such file")
    began = time.monotonic()
    with refusing(), reading(path) as archive:
        check(archive.manifest)
        progress = Progress("checking", shown=not args.json)
        archive.verify(progress.at)
        progress.end()
        missing = missing_keys(archive.manifest, settings)
        if not args.json:
            print(in_words(archive.manifest))
        restored = None
        if not args.dry_run:
            restored = asyncio.run(_restore(archive, settings, stopped_at, args))
        _tell(archive.manifest, missing, restored, time.monotonic() - began, args)
    return 0


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise WrongUsage(f"--stopped-at {text!r} is no time like 2026-11-25T06:00") from None
    found = found if found.tzinfo else found.astimezone()  # as this machine's clock shows it
    if found > datetime.now(UTC):
        raise WrongUsage(f"--stopped-at {text!r} lies in the future")
    return found


async def _restore(
    archive: Reader, settings: Settings, stopped_at: datetime | None, args: argparse.Namespace
) -> Restored:
    if settings.postgres_dsn is None and (stack := read_stack(settings.state_dir)):
        raise BackupRefused(
            f"Nexus runs here, at {stack.address}: stop it (Ctrl-C where it runs), then restore"
        )
    root = Layout.at(settings.state_dir).folder("run").parent
    progress = Progress("restoring", shown=not args.json)
    async with postgres_of(settings) as dsn:
        refuse(await found_in(dsn), replace=args.replace)
        with laid_out(archive, root):
            restored = await load(
                dsn,
                archive,
                stopped_at=stopped_at,
                actor=f"cli:{getpass.getuser()}",
                told=progress.at,
            )
    progress.end()
    return restored


def refuse(found: Found, *, replace: bool) -> None:
    """Refuse to overwrite what is not ours, or what nobody said may go.

    Raises:
        BackupRefused: says what is there.
    """
    if found.others:
        raise BackupRefused(
            f"the database also holds what is not of Nexus ({', '.join(found.others[:5])}): restore"
            " into a database of its own"
        )
    if not found.empty and not replace:
        counts = ", ".join(f"{table}s: {count:,}" for table, count in found.counts.items())
        shops = ", ".join(found.shops[:5]) + (", …" if len(found.shops) > 5 else "")
        raise BackupRefused(
            f"there is something already: shops: {len(found.shops)} ({shops}), {counts}. All of it"
            " would be lost; --replace says that it may. Perhaps back it up first: nexus backup"
        )


def missing_keys(manifest: Manifest, settings: Settings) -> list[str]:
    """Return the keys that its credentials need, and that this installation does not have."""
    layout = Layout.at(settings.state_dir)
    text = settings.encryption_key.get_secret_value() if settings.encryption_key else ""
    if not text and (layout.root / "secrets" / "encryption_key").exists():
        text = kept_here(layout, "encryption_key") or ""
    if not text:
        return list(manifest.keys)
    try:
        ring = KeyRing.parse(text)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    return [kid for kid in manifest.keys if not ring.knows(kid)]


def _tell(
    manifest: Manifest,
    missing: list[str],
    restored: Restored | None,
    seconds: float,
    args: argparse.Namespace,
) -> None:
    if args.json:
        done = None
        if restored is not None:
            done = {
                "rows": restored.rows,
                "migrated": restored.migrated,
                **vars(restored.aftermath),
            }
        print_json(
            {**told(manifest), "missing_keys": missing, "seconds": seconds, "restored": done}
        )
        return
    if restored is None:
        print(f"The file is whole ({seconds:.1f} s). Nothing was changed.")
    else:
        print(f"Restored {restored.rows:,} rows in {seconds:.1f} s.")
        for line in _to_do(restored):
            print(f"  {line}")
    if missing:
        count = sum(manifest.keys[kid] for kid in missing)
        print(
            f"\nKeys are missing here: {', '.join(missing)}. So many credentials stay sealed until"
            f" they are back: {count}. Put them into ENCRYPTION_KEY (`nexus up` makes its own:"
            " copy secrets/encryption_key of the old state folder), or enter those secrets again:"
            " nexus channels add, nexus apps add."
        )


def _to_do(restored: Restored) -> list[str]:
    after = restored.aftermath
    lines = []
    if restored.migrated:
        lines.append(f"Brought to this version by {', '.join(restored.migrated)}.")
    if after.messages:
        lines.append(
            f"Messages that were on their way: {after.messages}. They may have arrived: they are"
            " unknown now, and no machine sends them again; each has an alert."
        )
    if after.conversations:
        lines.append(
            f"Conversations with an open question: {after.conversations}. It may have been"
            " answered: a person has them now; nexus conversations."
        )
    if after.shops:
        lines.append("Vectors are made anew when Nexus runs; until then, words alone answer.")
    lines.append("Everybody has to log in again. Start Nexus when the old one is gone for good.")
    return lines


COMMAND = Command(
    "restore",
    "Bring back what a back-up holds: all of it, or nothing. What may have been sent is not sent"
    " again.",
    add_arguments,
    run,
    example="nexus restore ~/nexus-monday.backup --dry-run",
)
