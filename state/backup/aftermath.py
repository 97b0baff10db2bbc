"""Make a restored database fit to go on: nobody works in it, and nothing is said twice.

Between the snapshot and the restore there was a life whose end nobody knows. Whatever it may have
sent is not sent again by a machine: messages on their way become *unknown*, questions that were
open become a person's, and a writing step that was not recorded counts as one in doubt.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from state.database import Connection
from state.dispatch import Asked, dispatch
from state.functions import Declared, number_functions
from state.queries import load
from state.steps import RESTORED

SQL = load("restored")

MAY_HAVE_ARRIVED = "it was on its way when the back-up was made: it may have arrived"
IN_DOUBT = f"A message is in doubt: {MAY_HAVE_ARRIVED}. Look into the conversation."
HELD = "restored from a back-up: it may have been answered already"
REBUILD, REBUILD_EVENT = "vectors_rebuild", '{"everything": true}'


@dataclass(frozen=True)
class Aftermath:
    """What people have to look at."""

    messages: int
    """On their way at the snapshot; unknown now."""
    conversations: int
    """With an open question at the snapshot; a person's now."""
    shops: int
    """Whose vectors are made anew."""


async def settle(
    connection: Connection, *, snapshot_at: datetime, stopped_at: datetime | None, file: str
) -> Aftermath:
    """Do everything that a restored database needs, in the transaction that fills it.

    Args:
        connection: as the engine, or as the login user where there are no roles.
        snapshot_at: of the back-up.
        stopped_at: until when the life after the snapshot may have answered; None: until now.
        file: the back-up's name.
    """
    for name in (
        *("free_work", "free_lanes", "end_cancelled", "free_budgets"),
        *("forget_edge", "forget_schedule"),
    ):
        await connection.execute(SQL[name])
    await connection.execute(SQL["clock"])
    await connection.execute(SQL["doubt_steps"], RESTORED)
    messages = _counted(await connection.fetch(SQL["doubt_messages"], MAY_HAVE_ARRIVED, IN_DOUBT))
    handed = _counted(await connection.fetch(SQL["hand_over"], snapshot_at, HELD))
    for tenant in sorted(messages.keys() | handed.keys()):
        text = _told(snapshot_at, messages[tenant], handed[tenant])
        await connection.execute(SQL["tell"], tenant, text)
    await connection.execute(SQL["note"], snapshot_at, stopped_at, file)
    shops = [row["tenant"] for row in await connection.fetch(SQL["forget_vectors"])]
    numbers = await number_functions(connection, [Declared(REBUILD, None, None)])
    asked = [Asked(tenant, numbers[REBUILD], REBUILD_EVENT) for tenant in shops]
    if asked:
        await dispatch(connection, asked)
    return Aftermath(messages.total(), handed.total(), len(shops))


def _counted(rows: list[tuple[int, int]]) -> Counter[int]:
    return Counter({tenant: count for tenant, count in rows})


def _told(snapshot_at: datetime, messages: int, conversations: int) -> str:
    when = snapshot_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return (
        f"Restored from a back-up of {when}. Conversations that wait for a person, since they may"
        f" have been answered already: {conversations}. Messages that may have arrived:"
        f" {messages}. See nexus conversations."
    )
