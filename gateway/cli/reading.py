"""Give files to a shop and follow their reading, with progress."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.command import Refused, WrongUsage
from gateway.cli.connect import open_database, open_dispatcher
from gateway.cli.output import print_json, safe
from gateway.cli.progress import Progress
from runtime.dispatch import Dispatcher
from state.database import Database
from state.shops import Shop
from state.sources import FAILED, READY, Source, give_source, source

READ_SECONDS = 600.0
LOOK_SECONDS = 0.1
SHOWN = 20
"""Refused rows that are printed; --json has them all."""


@dataclass(frozen=True)
class Given:
    """A file as it was given."""

    name: str
    media_type: str
    body: bytes = field(repr=False)


def read_file(name: str) -> bytes:
    """Return what is in a file.

    Raises:
        WrongUsage: it cannot be read.
    """
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise WrongUsage(f"{name}: {error.strerror}") from None


async def follow(
    environ: Mapping[str, str],
    shop: Shop,
    kind: str,
    function_name: str,
    files: Sequence[Given],
    *,
    as_json: bool,
) -> int:
    """Store files, have them read, and wait; 1 when one of them could not be."""
    found = []
    async with open_database(environ) as database, open_dispatcher(environ) as dispatcher:
        for file in files:
            one, new = await _give(database, dispatcher, shop, kind, function_name, file)
            if new:
                one = await _until_read(database, shop, one.source_id, quiet=as_json)
            found.append(one)
            if not as_json:
                _tell(one, new)
    if as_json:
        print_json(
            [{**one._asdict(), "refused": [r._asdict() for r in one.refused]} for one in found]
        )
    return 0 if all(one.state == READY for one in found) else 1


async def _give(
    database: Database,
    dispatcher: Dispatcher,
    shop: Shop,
    kind: str,
    function_name: str,
    file: Given,
) -> tuple[Source, bool]:
    async with database.tenant(shop.tenant) as connection:
        try:
            one, new = await give_source(
                connection, shop.tenant, kind, file.name, file.media_type, file.body
            )
        except ValueError as error:
            raise WrongUsage(str(error)) from None
    if new or one.state not in (READY, FAILED):
        # Should we die before this: giving the file again asks again, for it is not READY yet.
        await dispatcher.dispatch_named(
            function_name, {"source_id": one.source_id}, tenant=shop.tenant
        )
        return one, True
    return one, False


async def _until_read(database: Database, shop: Shop, source_id: int, *, quiet: bool) -> Source:
    loop = asyncio.get_running_loop()
    until = loop.time() + READ_SECONDS
    progress: Progress | None = None
    while True:
        async with database.tenant(shop.tenant) as connection:
            one = await source(connection, shop.tenant, source_id)
        if one is None:
            raise Refused("the file was removed meanwhile")
        progress = progress or Progress(one.name, shown=not quiet)
        progress.at(one.done, one.total or 0)
        if one.state in (READY, FAILED) or loop.time() > until:
            progress.end()
            return one
        await asyncio.sleep(LOOK_SECONDS)


def _tell(one: Source, new: bool) -> None:
    if one.state == FAILED:
        print(safe(f"nexus: {one.name}: {one.problem}"), file=sys.stderr)
        return
    if one.state != READY:
        print(safe(f"{one.name} is still being read; see its state with `list`"))
        return
    refused = f", {len(one.refused)} rows refused" if one.refused else ""
    print(safe(f"{one.name}: {one.done:,} taken{refused}{'' if new else ' (nothing new)'}"))
    for row in one.refused[:SHOWN]:
        print(safe(f"  line {row.line}: {row.problem}"), file=sys.stderr)
    if len(one.refused) > SHOWN:
        print(f"  … and {len(one.refused) - SHOWN} more: --json", file=sys.stderr)
