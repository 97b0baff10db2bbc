"""Enter lines in a book, in order. Safe to run twice: a line that is there is not entered again."""

import asyncio

from runtime import Context, Event, function

TABLE = """
CREATE TABLE entry (
    place serial, book text, number int, invocation text, PRIMARY KEY (book, number, invocation));
GRANT INSERT, SELECT ON entry TO nexus_app, nexus_engine;
GRANT USAGE ON SEQUENCE entry_place_seq TO nexus_app
"""


class Enter(Event):
    """Enter a line."""

    book: str
    number: int
    seconds: float = 0


@function(lane="book", service="agent")
async def enter(event: Enter, ctx: Context) -> None:
    """Commit the line once the time is over, while the invocation is still ours."""
    await asyncio.sleep(event.seconds)
    async with ctx.transaction() as transaction:
        await transaction.connection.execute(
            "INSERT INTO entry (book, number, invocation) VALUES ($1, $2, $3)"
            " ON CONFLICT DO NOTHING",
            event.book,
            event.number,
            ctx.invocation,
        )
