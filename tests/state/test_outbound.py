"""Outgoing messages and their statuses: any order, any number, the same end."""

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from functions.channels.token import attempt_of, token_of
from state.attempts import begin_attempt, record_absent, record_accepted, record_rejected
from state.database import Connection, Database
from state.outbound import decide_by_status, queue
from state.rules.limits import TEXT_LIMIT
from state.shops import open_shop

numbers = count(1)


class Books:
    """A shop with a conversation, in a database of its own."""

    def __init__(self, runner: asyncio.Runner, database: Database) -> None:
        self.runner, self.database = runner, database
        self.tenant, self.conversation = runner.run(self._furnish("one"))
        self.other_tenant, _ = runner.run(self._furnish("two"))

    async def _furnish(self, name: str) -> tuple[int, int]:
        shop = await open_shop(self.database, name)
        async with self.database.tenant(shop.tenant) as connection:
            found: int = await connection.fetchval(
                "WITH h AS (INSERT INTO channel (tenant, kind, app, address, display)"
                " VALUES ($1, 'cloud_api', 'main', $2, $2) RETURNING channel_id), p AS"
                " (INSERT INTO contact (tenant) VALUES ($1) RETURNING contact_id)"
                " INSERT INTO conversation (tenant, channel_id, contact_id, address_kind, address)"
                " SELECT $1, channel_id, contact_id, 'phone', '5491155550000' FROM h, p"
                " RETURNING conversation_id",
                shop.tenant,
                name,
            )
        return shop.tenant, found

    async def queued(self, connection: Connection, **options: Any) -> int | None:
        given_ = {"author": "agent", "cause_key": f"test:{next(numbers)}", "body": "Hola"}
        return await queue(connection, self.tenant, self.conversation, **{**given_, **options})

    async def begun(self, connection: Connection) -> tuple[int, UUID]:
        """Queue a message, and write down an attempt."""
        message, attempt = await self.queued(connection), uuid4()
        assert message is not None
        await begin_attempt(connection, self.tenant, message, attempt, 1)
        return message, attempt


async def row(connection: Connection, message: int) -> tuple[str, str | None, str | None]:
    found = await connection.fetchrow(
        "SELECT state, wamid, problem FROM message WHERE message_id = $1", message
    )
    assert found is not None
    return found["state"], found["wamid"], found["problem"]


@pytest.fixture(scope="module")
def books(module_database_dsn: str) -> Iterator[Books]:
    with asyncio.Runner() as runner:
        database = runner.run(Database.open(module_database_dsn, application="test"))
        yield Books(runner, database)
        runner.run(database.aclose())


def test_one_cause_has_one_message_for_ever(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            first = await books.queued(connection, cause_key="turn:7")
            assert first is not None
            assert await books.queued(connection, cause_key="turn:7") is None
            assert (await row(connection, first))[0] == "pending"

    books.runner.run(play())


@pytest.mark.parametrize(("body", "words"), [("x" * 4097, "clamp_text"), (" \0 ", "empty")])
def test_what_whatsapp_would_not_take_is_not_queued(books: Books, body: str, words: str) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            with pytest.raises(ValueError, match=words):
                await books.queued(connection, body=body)
            assert await books.queued(connection, body="é" * TEXT_LIMIT)

    books.runner.run(play())


def test_a_conversation_of_another_shop_is_none(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.other_tenant) as connection:
            with pytest.raises(LookupError):
                await queue(
                    connection,
                    books.other_tenant,
                    books.conversation,
                    author="agent",
                    cause_key="x",
                    body="Hola",
                )

    books.runner.run(play())


EVENTS = ("answer", "sent", "delivered", "read", "failed", "deleted", "sent", "delivered")


def end_of(events: set[str]) -> str:
    """Return where these events lead, by the rule of the module."""
    for status in ("read", "delivered", "failed", "sent"):
        if status in events:
            return status
    return "accepted"


@given(st.permutations(EVENTS).flatmap(lambda all_: st.integers(1, 8).map(lambda n: all_[:n])))
@settings(max_examples=150, deadline=None)
def test_statuses_in_any_order_end_in_the_same_state(books: Books, events: list[str]) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            message, attempt = await books.begun(connection)
            wamid = f"wamid.{attempt}"
            for event in events:
                if event == "answer":
                    await record_accepted(connection, books.tenant, attempt, wamid)
                    continue
                assert await decide_by_status(
                    connection,
                    books.tenant,
                    wamid=wamid,
                    attempt=attempt,
                    status=event,
                    code=131000 if event == "failed" else None,
                )
            state, stored, problem = await row(connection, message)
            assert (state, stored) == (end_of(set(events)), wamid)
            assert (problem is not None) == ("failed" in events)

    books.runner.run(play())


@given(st.lists(st.sampled_from(("absent", "rejected", "told", "begun", "answer")), max_size=7))
@example(["absent", "begun", "told", "answer", "told"])
@settings(max_examples=100, deadline=None)
def test_whatever_comes_late_at_most_one_attempt_counts(books: Books, steps: list[str]) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            message, first = await books.begun(connection)
            attempts = [first]
            for step in steps:
                last = attempts[-1]
                if step == "absent":
                    await record_absent(connection, books.tenant, last)
                elif step == "rejected":
                    await record_rejected(connection, books.tenant, last, code=131000)
                elif step == "told":
                    await decide_by_status(
                        connection,
                        books.tenant,
                        wamid="wamid.first" + str(first),
                        attempt=first,
                        status="sent",
                    )
                elif step == "answer":
                    await record_accepted(connection, books.tenant, last, f"wamid.{last}")
                elif not await connection.fetchval(
                    "SELECT count(*) FROM send_attempt WHERE message_id = $1"
                    " AND state IN ('intent', 'accepted')",
                    message,
                ):
                    attempts.append(uuid4())
                    await begin_attempt(connection, books.tenant, message, attempts[-1], 2)
            if "told" in steps:
                assert (await row(connection, message))[0] == "sent"

    books.runner.run(play())


def test_a_status_finds_its_message_by_wamid_when_it_carries_no_token(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            message, attempt = await books.begun(connection)
            await record_accepted(connection, books.tenant, attempt, "wamid.known")
            for wamid, known in (("wamid.known", True), ("wamid.other", False)):
                found = await decide_by_status(
                    connection, books.tenant, wamid=wamid, attempt=None, status="read"
                )
                assert found is known
            assert (await row(connection, message))[0] == "read"

    books.runner.run(play())


def test_a_forged_token_names_nothing(books: Books) -> None:
    key, other = SecretStr("one"), SecretStr("k:two, old:one")
    attempt = uuid4()
    token = token_of(key, attempt)
    assert attempt_of(key, token) == attempt_of(other, token) == attempt
    assert len(token) <= 512
    for forged in (f"{token[:-1]}x", token[:-8] + "0" * 8, token + " ", f"2{token[1:]}", "", None):
        assert attempt_of(key, forged) is None
    assert attempt_of(SecretStr("three"), token) is None
    assert attempt_of(None, token) is None


def test_an_attempt_of_another_shop_is_out_of_reach(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            message, attempt = await books.begun(connection)
        async with books.database.tenant(books.other_tenant) as connection:
            assert not await decide_by_status(
                connection, books.other_tenant, wamid="wamid.z", attempt=attempt, status="sent"
            )
        async with books.database.tenant(books.tenant) as connection:
            assert (await row(connection, message))[0] == "sending"

    books.runner.run(play())


def test_a_failure_after_the_delivery_is_kept_as_a_note(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            message, attempt = await books.begun(connection)
            for status, code in (("delivered", None), ("failed", 131026)):
                await decide_by_status(
                    connection,
                    books.tenant,
                    wamid="wamid.note",
                    attempt=attempt,
                    status=status,
                    code=code,
                )
            state, _, problem = await row(connection, message)
            assert (state, problem) == (
                "delivered",
                "WhatsApp cannot reach this person there (131026)",
            )

    books.runner.run(play())


def test_failures_act_on_what_they_mean_for_others(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            for code in (131050, 131042):
                _, attempt = await books.begun(connection)
                await decide_by_status(
                    connection,
                    books.tenant,
                    wamid=f"wamid.{code}",
                    attempt=attempt,
                    status="failed",
                    code=code,
                )
            assert await connection.fetchval("SELECT opted_out_at IS NOT NULL FROM contact")
            assert "payment" in await connection.fetchval("SELECT stopped FROM channel")
            kinds = await connection.fetch("SELECT kind FROM alert ORDER BY alert_id DESC LIMIT 2")
            assert {each["kind"] for each in kinds} == {"send_failed", "channel"}

    books.runner.run(play())


def test_the_watermark_follows_the_youngest_send_that_was_told_of(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            begun = [(await books.begun(connection))[1] for _ in range(3)]
            for place in (1, 0, 2):
                await decide_by_status(
                    connection,
                    books.tenant,
                    wamid=f"wamid.water{place}",
                    attempt=begun[place],
                    status="sent",
                )
                expected = await connection.fetchval(
                    "SELECT started_at FROM send_attempt WHERE attempt_id = $1",
                    begun[max(place, 1)],
                )
                assert (
                    await connection.fetchval("SELECT seen_for FROM status_watermark") == expected
                )

    books.runner.run(play())


def test_statuses_of_one_number_do_not_wait_for_each_other(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as one:
            _, first = await books.begun(one)
            _, second = await books.begun(one)
        async with asyncio.timeout(5), books.database.tenant(books.tenant) as one:
            await decide_by_status(one, books.tenant, wamid="wamid.1", attempt=first, status="sent")
            async with books.database.tenant(books.tenant) as two:
                await decide_by_status(
                    two, books.tenant, wamid="wamid.2", attempt=second, status="sent"
                )

    books.runner.run(play())


def test_the_wamid_of_a_stranger_does_not_spoil_a_status(books: Books) -> None:
    async def play() -> None:
        async with books.database.tenant(books.tenant) as connection:
            await connection.execute(
                "INSERT INTO message (tenant, conversation_id, direction, author, wamid, kind,"
                " content, at)"
                " VALUES ($1, $2, 'in', 'shopper', 'wamid.taken', 'text', '{}', now())",
                books.tenant,
                books.conversation,
            )
            message, attempt = await books.begun(connection)
            await decide_by_status(
                connection, books.tenant, wamid="wamid.taken", attempt=attempt, status="sent"
            )
            assert (await row(connection, message))[:2] == ("sent", None)

    books.runner.run(play())
