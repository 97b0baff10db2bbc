"""What becomes of what WhatsApp posts, from the raw bytes to the rows."""

import asyncio
import html
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from functions.agent_run import AgentRun
from functions.webhook_intake import webhook_intake
from gateway.app import create_app
from gateway.sandbox import new_shopper, write
from runtime import Context, function
from runtime.registry import Registry
from runtime.settings import Settings
from state.channels import add_channel, open_phone
from state.database import Connection
from state.inbound import Written, take_messages
from state.oddities import oddities
from state.shops import Shop, open_shop
from tests.gateway.conftest import BEARER, client_of
from tests.gateway.people import sign_in
from tests.runtime.harness import Platform, working

ANA, ANA_ID = "5493415550100", "AR.1349120865530274"


@dataclass
class Desk:
    """A shop with a number, and somebody who writes to it."""

    platform: Platform
    shop: Shop
    number: str = "1001"

    async def posted(self, body: bytes | dict[str, Any], app: str = "meta") -> dict[str, int]:
        """WhatsApp posts; returns what the function said of it, when it has ended."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        await self.platform.dispatcher.intake.take("webhook_intake", app, None, raw)
        # The newest invocation of this function is ours: nobody else posts here.
        number = await self.platform.value(
            "SELECT max(id) FROM invocation JOIN function USING (fn) WHERE name = 'webhook_intake'"
        )
        outcome = await self.platform.end_of(number)
        assert outcome.state == "done", outcome
        found: dict[str, int] = json.loads(outcome.result or "{}")
        return found

    async def rows(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        async with self.platform.database.engine() as connection:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]

    async def bodies(self) -> list[str | None]:
        return [row[0] for row in await self.rows("SELECT body FROM message ORDER BY message_id")]

    async def started(self) -> int:
        """How often the agent was started."""
        return int(
            await self.platform.value(
                "SELECT count(*) FROM invocation JOIN function USING (fn) WHERE name = 'agent_run'"
            )
        )


@function(lane="conversation_id")
async def agent_run(event: AgentRun, ctx: Context) -> None:
    """Stand in for the agent: it does nothing."""


@pytest.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with working(settings, [webhook_intake, agent_run]) as platform:
        shop = await open_shop(platform.database, "uno")
        found = Desk(platform, shop)
        await bind(found, shop, "1001")
        yield found


async def bind(desk: Desk, shop: Shop, number: str, app: str = "meta") -> None:
    async with desk.platform.database.tenant(shop.tenant) as connection:
        await add_channel(
            connection, shop.tenant, kind="cloud_api", app=app, address=number, display=number
        )


def text(wamid: str, body: str = "hola", **more: Any) -> dict[str, Any]:
    return {
        "from": ANA,
        "id": wamid,
        "timestamp": "1764000000",
        "type": "text",
        "text": {"body": body},
        **more,
    }


def delivery(
    *messages: Any, number: str = "1001", contacts: Any = None, **value: Any
) -> dict[str, Any]:
    inner = {"metadata": {"phone_number_id": number}, **value}
    if messages:
        inner["messages"] = list(messages)
    if contacts is not None:
        inner["contacts"] = contacts
    changes = [{"field": "messages", "value": inner}]
    return {"object": "whatsapp_business_account", "entry": [{"id": "1", "changes": changes}]}


MEDIA = {"id": "77", "mime_type": "image/jpeg", "sha256": "x"}
KINDS: list[tuple[str, Any, str | None]] = [
    # kind, its object, what a person reads of it
    ("text", {"body": "¿tenés 38?"}, "¿tenés 38?"),
    ("image", MEDIA, None),
    ("image", {**MEDIA, "caption": "esta"}, "esta"),
    ("audio", {**MEDIA, "voice": True}, None),
    ("video", {**MEDIA, "caption": "mirá"}, "mirá"),
    ("document", {**MEDIA, "filename": "factura.pdf"}, "factura.pdf"),
    ("sticker", {**MEDIA, "animated": False}, None),
    ("location", {"latitude": 0, "longitude": -60.6}, "0, -60.6"),
    ("location", {"latitude": 1.5, "longitude": 2, "name": "Casa"}, "Casa"),
    ("contacts", [{"name": {"formatted_name": "Bea"}, "phones": []}], "Bea"),
    ("interactive", {"type": "button_reply", "button_reply": {"id": "1", "title": "Sí"}}, "Sí"),
    ("interactive", {"type": "list_reply", "list_reply": {"id": "1", "title": "38"}}, "38"),
    ("interactive", {"type": "nfm_reply", "nfm_reply": {"name": "flow", "body": "Sent"}}, "Sent"),
    ("button", {"payload": "p", "text": "Quiero"}, "Quiero"),
    ("order", {"product_items": [{"product_retailer_id": "A1", "quantity": 2}]}, "2 x A1"),
    ("unsupported", {"type": "poll"}, None),
]


@pytest.mark.parametrize(("kind", "part", "body"), KINDS)
async def test_every_kind_that_waits_for_an_answer_starts_the_agent(
    desk: Desk, kind: str, part: Any, body: str | None
) -> None:
    message = {"from": ANA, "id": "w1", "timestamp": "1764000000", "type": kind, kind: part}
    await desk.posted(delivery(message))

    assert await desk.rows("SELECT kind, body, turn FROM message") == [(kind, body, None)]
    assert await desk.started() == 1


async def test_a_delivery_without_its_number_is_kept_for_people(desk: Desk) -> None:
    body = delivery(text("w1"))
    del body["entry"][0]["changes"][0]["value"]["metadata"]
    assert (await desk.posted(body))["oddities"] == 1
    assert await desk.rows("SELECT tenant, reason FROM oddity") == [(0, "no phone_number_id")]


async def test_a_message_is_stored_once_for_ever(desk: Desk) -> None:
    await desk.posted(delivery(text("w1")))
    await asyncio.gather(*[desk.posted(delivery(text("w1"), text("w2", "y?"))) for _ in range(5)])
    assert await desk.bodies() == ["hola", "y?"]


async def test_a_delivery_whose_reading_fails_is_read_again_whole_and_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[int] = []

    async def failing(connection: Connection, tenant: int, written: Sequence[Written]) -> Any:
        taken = await take_messages(connection, tenant, written)
        if not failed:
            failed.append(await connection.fetchval("SELECT count(*) FROM message"))
            raise RuntimeError("it ends behind its writes, before they are committed")
        return taken

    monkeypatch.setattr("functions.webhook_intake.take_messages", failing)
    await desk.posted(delivery(text("w1", "a"), text("w2", "b")))
    assert failed == [2]
    assert await desk.bodies() == ["a", "b"]
    assert await desk.started() == 1


async def test_our_own_phone_posts_what_whatsapp_posts_and_is_read_like_it(desk: Desk) -> None:
    async with desk.platform.database.tenant(desk.shop.tenant) as connection:
        await open_phone(connection, desk.shop)
    await write(desk.platform.dispatcher, desk.shop, new_shopper("Ana"), "hola")
    await desk.platform.zero("SELECT 1 - count(*) FROM message")
    assert await desk.bodies() == ["hola"]
    assert await desk.started() == 1
    assert await desk.rows("SELECT reason FROM oddity") == []


async def test_many_entries_of_one_post_are_all_taken(desk: Desk) -> None:
    one, other = delivery(text("w1", "a"), text("w2", "b")), delivery(text("w3", "c"))
    one["entry"] += other["entry"]
    assert (await desk.posted(one))["messages"] == 3
    assert await desk.bodies() == ["a", "b", "c"]
    assert await desk.started() == 1  # one conversation, one turn


async def test_an_odd_part_loses_nothing_beside_it(desk: Desk) -> None:
    odd = [
        text("w1", "antes"),
        "no object",
        {"type": "text", "from": ANA, "text": {"body": "sin id"}},
        {"id": "w9", "type": "text", "text": {"body": "de nadie"}},
        text("w2", "con \u0000 nulo y \ud83d media"),
        text("w3", "después", timestamp="ayer", type=["text"]),
    ]
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    await desk.posted(delivery(*odd, text("w4", deep=deep), text("w5", "fin"), statuses="none"))

    assert await desk.rows("SELECT wamid FROM message ORDER BY wamid") == [
        ("w1",),
        ("w2",),
        ("w3",),
        ("w5",),
    ]
    reasons = dict(await desk.rows("SELECT place, reason FROM oddity WHERE tenant = 1"))
    at = "entry[0].changes[0].value"
    assert reasons == {
        f"{at}.messages[1]": "not an object",
        f"{at}.messages[2]": "no id, so it could not be told from a repetition",
        f"{at}.messages[3]": "a message from nobody",
        f"{at}.messages[6]": "nested too deep",
        f"{at}.statuses": "not a list",
    }


@pytest.mark.parametrize(
    "body", [b"", b"nul", b"[1]", b"\xff\xfe", b"[" * 100_000, b'{"entry":[7]}']
)
async def test_what_is_no_delivery_at_all_is_seen_by_people(
    desk: Desk, settings: Settings, body: bytes
) -> None:
    assert (await desk.posted(body))["messages"] == 0
    async with desk.platform.database.engine() as connection:
        (odd,) = await oddities(connection, 10)
    application = create_app(settings, Registry([], []))
    async with (
        application.router.lifespan_context(application),
        client_of(application, **{"Accept-Language": "es"}) as client,
    ):
        await sign_in(client)
        board = (await client.get("/invocations")).text
        page = (await client.get("/oddities")).text
        metrics = (await client.get("/metrics", headers=BEARER)).text
    assert (odd.shop, odd.app) == (None, "meta")
    assert "Rarezas: 1 en las últimas 24 horas" in board
    assert f'id="oddity-{odd.oddity_id}"' in page
    assert odd.reason in html.unescape(page)
    assert "app meta" in page
    assert "nexus_oddities 1" in metrics


async def test_a_number_of_nobody_is_kept_and_a_number_of_another_app_too(desk: Desk) -> None:
    await desk.posted(delivery(text("w1"), number="999"))
    await desk.posted(delivery(text("w2")), app="other")
    assert await desk.bodies() == []
    found = await desk.rows("SELECT tenant, reason FROM oddity")
    assert found == [(0, "no shop has this number")] * 2


async def test_two_shops_with_the_same_shopper_share_nothing(desk: Desk) -> None:
    other = await open_shop(desk.platform.database, "dos")
    await bind(desk, other, "2002")
    both = delivery(text("w1", "a la uno"))
    both["entry"] += delivery(text("w1", "a la dos"), number="2002")["entry"]
    await desk.posted(both)

    found = await desk.rows("SELECT tenant, body FROM message ORDER BY tenant")
    assert found == [(1, "a la uno"), (2, "a la dos")]
    assert await desk.rows("SELECT DISTINCT tenant FROM contact ORDER BY 1") == [(1,), (2,)]


# Who it is.


async def test_somebody_without_a_number_is_somebody(desk: Desk) -> None:
    message = text("w1")
    del message["from"]
    contacts = [{"profile": {"name": "Muhsin"}, "user_id": ANA_ID}]
    await desk.posted(delivery({**message, "from_user_id": ANA_ID}, contacts=contacts))
    assert await desk.rows(
        "SELECT kind, value, name FROM contact_alias JOIN contact USING (contact_id)"
    ) == [("bsuid", ANA_ID, "Muhsin")]
    assert await desk.rows("SELECT address_kind, address FROM conversation") == [("bsuid", ANA_ID)]


async def test_ids_that_come_together_are_one_person(desk: Desk) -> None:
    hidden = text("w1", "uno")
    del hidden["from"]
    await desk.posted(delivery({**hidden, "from_user_id": ANA_ID}))
    await desk.posted(delivery(text("w2", "dos")))
    assert await desk.platform.value("SELECT count(*) FROM contact") == 2

    both = [{"wa_id": ANA, "user_id": ANA_ID, "profile": {"name": "Ana"}}]
    await desk.posted(delivery(text("w3", "tres"), contacts=both))
    assert await desk.platform.value("SELECT count(*) FROM conversation") == 1
    assert await desk.rows("SELECT count(*), count(merged_into) FROM contact") == [(2, 1)]
    assert await desk.bodies() == ["uno", "dos", "tres"]


async def test_a_number_with_another_id_is_somebody_else(desk: Desk) -> None:
    await desk.posted(delivery(text("w1"), contacts=[{"wa_id": ANA, "user_id": ANA_ID}]))
    await desk.posted(delivery(text("w2"), contacts=[{"wa_id": ANA, "user_id": "AR.999"}]))
    found = await desk.rows(
        "SELECT a.kind, c.contact_id FROM contact_alias a JOIN contact c USING (contact_id)"
        " ORDER BY a.kind, a.value"
    )
    assert found == [("bsuid", 1), ("bsuid", 2), ("phone", 2)]


async def test_who_moves_to_another_number_stays_the_same(desk: Desk) -> None:
    await desk.posted(delivery(text("w1")))
    moved = {"type": "user_changed_number", "wa_id": "5493415559999", "body": "Ana changed"}
    await desk.posted(delivery(text("w2", type="system", system=moved)))
    await desk.posted(delivery({**text("w3", "soy yo"), "from": "5493415559999"}))
    assert await desk.platform.value("SELECT count(*) FROM contact") == 1
    assert await desk.platform.value("SELECT count(*) FROM conversation") == 1


async def test_deliveries_that_bring_somebody_new_together_make_one_contact(desk: Desk) -> None:
    await asyncio.gather(*[desk.posted(delivery(text(f"w{n}"))) for n in range(8)])
    assert await desk.platform.value("SELECT count(*) FROM contact") == 1
    assert await desk.platform.value("SELECT count(*) FROM message") == 8


# What it means.


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("reaction", {"message_id": "w0", "emoji": "👍"}),
        ("system", {"body": "x", "type": "customer_identity_changed"}),
        ("kind_of_2030", {"any": "thing"}),
    ],
)
async def test_what_asks_for_no_answer_starts_nobody(
    desk: Desk, kind: str, part: dict[str, Any]
) -> None:
    await desk.posted(delivery({**text("w1", type=kind), kind: part}))
    assert await desk.rows("SELECT kind, turn FROM message") == [(kind, 0)]
    assert await desk.started() == 0


async def test_an_edit_and_a_revocation_change_the_message_they_name(desk: Desk) -> None:
    await desk.posted(delivery(text("w1", "zapatilas"), text("w2", "perdón")))
    edit = {
        "original_message_id": "w1",
        "message": {"type": "text", "text": {"body": "zapatillas"}},
    }
    await desk.posted(delivery(text("w3", type="edit", edit=edit)))
    await desk.posted(delivery(text("w4", type="revoke", revoke={"original_message_id": "w2"})))
    found = await desk.rows(
        "SELECT body, edited_at IS NOT NULL, revoked_at IS NOT NULL FROM message"
        " WHERE kind = 'text' ORDER BY wamid"
    )
    assert found == [("zapatillas", True, False), ("perdón", False, True)]


async def test_what_the_merchant_types_in_whatsapp_takes_the_conversation_over(desk: Desk) -> None:
    await desk.posted(delivery(text("w1")))
    echo = {**text("w2", "Hola, soy Bea"), "to": ANA, "from": "1001"}
    await desk.posted(delivery(message_echoes=[echo]))
    assert await desk.rows("SELECT holder, held_reason FROM conversation") == [
        ("person", "answered from the phone")
    ]
    assert await desk.rows("SELECT author, state FROM message WHERE direction = 'out'") == [
        ("phone", "sent")
    ]


async def test_who_wants_no_marketing_says_so_in_several_ways(desk: Desk) -> None:
    out = "SELECT opted_out_at IS NOT NULL FROM contact"
    await desk.posted(delivery(text("w1", " BAJA. ")))
    assert await desk.rows(out) == [(True,)]
    preference = {"wa_id": ANA, "value": "resume", "category": "marketing_messages"}
    await desk.posted(delivery(user_preferences=[preference]))
    assert await desk.rows(out) == [(False,)]
    await desk.posted(delivery(user_preferences=[{**preference, "value": "stop"}]))
    assert await desk.rows(out) == [(True,)]


async def test_a_message_older_than_an_answered_one_is_late_and_not_lost(desk: Desk) -> None:
    await desk.posted(delivery(text("w2", "segundo", timestamp="1764000100")))
    async with desk.platform.database.engine() as connection:
        await connection.execute("UPDATE message SET turn = 7")
    await desk.posted(delivery(text("w1", "primero", timestamp="1764000000")))
    found = await desk.rows("SELECT body, late, turn FROM message ORDER BY wamid")
    assert found == [("primero", True, None), ("segundo", False, 7)]
    assert await desk.started() == 2


async def test_a_window_is_never_open_for_longer_than_a_day_from_now(desk: Desk) -> None:
    await desk.posted(delivery(text("w1", timestamp="99999999999")))
    open_for = "SELECT window_until <= clock_timestamp() + interval '24 hours' FROM conversation"
    assert await desk.rows(open_for) == [(True,)]
