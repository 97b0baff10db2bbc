"""Credentials and their keys: bound to their row, sealed without their key, sealed anew online."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest
from cryptography.fernet import Fernet

from state.credentials import get_credential, put_credential
from state.database import Database
from state.errors import CredentialMisplaced, CredentialSealed
from state.keyring import KeyRing, Sealed, key_id, new_key, without
from state.keys import START, count_old, key_uses, needing, note_sealed, reseal, unopened
from state.shops import open_shop

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()
BEFORE = KeyRing.parse(OLD)
BOTH = KeyRing.parse(f"new:{NEW},old:{OLD}")
AFTER = KeyRing.parse(f"new:{NEW}")
WHOSE = Sealed(7, "whatsapp", UUID(int=1), 3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (" , ", "is empty"),
        (f"a:{OLD},b:hunter2", "entry 2 is not a Fernet key"),
        (f"a:{OLD[:20]}", "entry 1 is not a Fernet key"),
        (f"a:{OLD},a:{NEW}", "entry 2 repeats the id 'a'"),
        (f"a:{OLD},b:{OLD}", "entry 2 repeats the key"),
        (f"a b:{OLD}", "may hold letters"),
        ("A" * 43 + "=", "is an example"),
    ],
    ids=["empty", "no key", "half a key", "an id twice", "a key twice", "a blank", "an example"],
)
def test_a_wrong_ring_is_refused_by_place_and_its_keys_are_not_repeated(
    text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        KeyRing.parse(text)
    assert OLD not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_key_is_found_under_the_id_it_is_given_and_the_one_made_of_it() -> None:
    sealed = BEFORE.seal(WHOSE, "señal")
    assert BOTH.open(WHOSE, BEFORE.first, sealed) == "señal"
    assert BOTH.named(key_id(OLD)) == "old"
    assert BOTH.named("other") is None
    made = new_key()
    assert KeyRing.parse(made).first == key_id(made.partition(":")[2])
    assert without(f"new:{NEW}, {OLD}", key_id(OLD)) == f"new:{NEW}"


def test_the_length_of_a_secret_does_not_show() -> None:
    assert len(AFTER.seal(WHOSE, "1234")) == len(AFTER.seal(WHOSE, "x" * 180))


@pytest.mark.parametrize(
    "other",
    [
        Sealed(8, "whatsapp", UUID(int=1), 3),
        Sealed(7, "openai", UUID(int=1), 3),
        Sealed(7, "whatsapp", UUID(int=2), 3),
        Sealed(7, "whatsapp", UUID(int=1), 4),
    ],
)
def test_a_secret_of_another_row_shop_purpose_or_version_does_not_open(other: Sealed) -> None:
    with pytest.raises(CredentialMisplaced):
        AFTER.open(other, "new", AFTER.seal(WHOSE, "señal"))


@pytest.fixture
async def database(database_dsn: str) -> AsyncIterator[Database]:
    opened = await Database.open(database_dsn, application="test")
    yield opened
    await opened.aclose()


async def stored(database: Database, ring: KeyRing, count: int) -> int:
    """Store credentials of a shop; returns it."""
    shop = (await open_shop(database, "zapatos")).tenant
    async with database.tenant(shop) as connection:
        for number in range(count):
            await put_credential(
                connection, ring, tenant=shop, purpose="p", name=f"n{number}", secret=f"s{number}"
            )
    return shop


async def secret(database: Database, ring: KeyRing, shop: int, number: int) -> str | None:
    async with database.engine() as connection:
        return await get_credential(connection, ring, tenant=shop, purpose="p", name=f"n{number}")


async def rotated(database: Database, most: int = 4) -> list[int]:
    """Seal everything anew; returns the sizes of the batches."""
    after = START
    sizes: list[int] = []
    while True:
        async with database.engine() as connection, connection.transaction():
            batch = await reseal(connection, BOTH, after, most)
        if batch.last is None:
            return sizes
        after = batch.last
        sizes.append(batch.resealed)


async def test_rotation_goes_in_batches_while_readers_read_on(database: Database) -> None:
    shop = await stored(database, BEFORE, 10)
    done = asyncio.Event()

    async def read_on() -> int:
        rounds = 0
        while not done.is_set():
            assert await secret(database, BOTH, shop, rounds % 10) == f"s{rounds % 10}"
            rounds += 1
        return rounds

    reading = asyncio.create_task(read_on())
    assert await rotated(database) == [4, 4, 2]
    done.set()
    assert await reading > 0
    assert [await secret(database, AFTER, shop, n) for n in range(10)] == [
        f"s{n}" for n in range(10)
    ]
    async with database.engine() as connection:
        assert await count_old(connection, BOTH) == 0
        assert needing(await key_uses(connection), BOTH, "old") == 0
    assert await rotated(database) == []


async def test_a_lost_key_seals_its_credentials_until_it_is_back(database: Database) -> None:
    shop = await stored(database, BEFORE, 2)

    async def noted(ring: KeyRing) -> tuple[int, list[str], list[str]]:
        async with database.engine() as connection, connection.transaction():
            missing = await note_sealed(connection, ring)
            states = await connection.fetch("SELECT DISTINCT state FROM credential")
            alerts = await connection.fetch(
                "SELECT message FROM alert WHERE resolved_at IS NULL AND kind = 'sealed'"
            )
        return len(missing), [row[0] for row in states], [row[0] for row in alerts]

    for _ in range(2):  # a second start tells nothing new
        missing, states, alerts = await noted(AFTER)
        assert (missing, states) == (1, ["sealed"])
        (alert,) = alerts
        assert alert.startswith(f"2 credentials (zapatos) sealed with key '{key_id(OLD)}'")
    with pytest.raises(CredentialSealed, match="Put that key back"):
        await secret(database, AFTER, shop, 0)
    assert await noted(BOTH) == (0, ["ok"], [])
    assert await secret(database, BOTH, shop, 0) == "s0"


async def test_verifying_names_what_does_not_open(database: Database) -> None:
    await stored(database, BEFORE, 3)
    async with database.engine() as connection:
        await connection.execute("UPDATE credential SET version = 9 WHERE name = 'n1'")
        await connection.execute("UPDATE credential SET ciphertext = 'x' WHERE name = 'n2'")
        async with connection.transaction():
            found = [why async for _, why in unopened(connection, BOTH)]
    assert sorted(str(why) for why in found if why) == [
        "The p credential belongs to another row. Enter the secret again.",
        f"The p credential does not open with key {key_id(OLD)!r}: the row was changed, or"
        " another key has that name. Enter the secret again.",
    ]
    assert found.count(None) == 1


async def test_a_credential_of_another_shop_is_not_there(database: Database) -> None:
    mine = await stored(database, BEFORE, 1)
    other = (await open_shop(database, "other")).tenant
    async with database.tenant(other) as connection:
        found = await get_credential(connection, BEFORE, tenant=mine, purpose="p", name="n0")
    assert found is None
