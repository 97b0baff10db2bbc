"""The simulated phone: try a shop's agent without any account. Nothing leaves this machine."""

import re
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from gateway.auth import signed_in
from gateway.pages.page import render
from gateway.problems import Problem
from gateway.sandbox import Shopper, new_shopper, write
from gateway.services import Services
from state.channels import open_phone
from state.conversations import AGENT, conversation_at
from state.ids import public_id
from state.messages import Message, history
from state.shops import Shop, shop_named
from state.turns import Turn, turns_of

DEMO = "demo"
SHOWN = 100
TEXT_LIMIT = 4096
PHONE = re.compile(r"5400000\d{8}")
"""Numbers of simulated shoppers: nobody else is written to from here."""


@dataclass(frozen=True)
class Thread:
    """What a simulated phone shows, and what stands behind the last answer."""

    messages: list[Message]
    answering: bool
    """Whether the agent is about to say something."""
    with_person: str | None
    """Why a person has the conversation; None: the agent has it."""
    turn: Turn | None
    """The agent's last turn."""
    turn_id: str


@dataclass(frozen=True)
class PhonePage:
    """A simulated phone."""

    shop: str
    shopper: Shopper
    thread: Thread
    live: str
    another: str
    """Address of somebody else's phone."""


@signed_in
async def show(request: Request) -> Response:
    """Show somebody's phone; without a number, somebody new's."""
    services: Services = request.app.state.services
    shop = await _shop(request, services)
    phone = request.query_params.get("as", "")
    if not PHONE.fullmatch(phone):
        return RedirectResponse(_address(shop.name, new_shopper("").phone), 303)
    shopper = Shopper(phone, f"Shopper {phone[-3:]}")
    cursor = await services.opened.feed.head()  # before reading: what comes after is told live
    thread = await thread_of(services, shop, phone)
    live = f"/live?{urlencode({'phone': phone, 'shop': shop.name, 'after': cursor})}"
    page = PhonePage(shop.name, shopper, thread, live, f"/phone/{shop.name}")
    return render(request, "phone.html", page, title="phone")


@signed_in
async def say(request: Request) -> Response:
    """Write to the shop as that somebody."""
    services: Services = request.app.state.services
    shop = await _shop(request, services)
    form = await request.form()
    phone, text = str(form.get("as", "")), str(form.get("text", "")).strip()
    if not PHONE.fullmatch(phone):
        raise Problem(404, "not-found", "that is no simulated phone")
    if text:
        async with services.opened.database.tenant(shop.tenant) as connection:
            await open_phone(connection, shop)
        shopper = Shopper(phone, f"Shopper {phone[-3:]}")
        await write(services.opened.dispatcher, shop, shopper, text[:TEXT_LIMIT])
    return RedirectResponse(_address(shop.name, phone), 303)


routes = [
    Route("/phone", show, methods=["GET"]),
    Route("/phone/{shop}", show, methods=["GET"]),
    Route("/phone/{shop}", say, methods=["POST"]),
]


async def thread_of(services: Services, shop: Shop, phone: str) -> Thread:
    """Return what a phone shows now."""
    async with services.opened.database.tenant(shop.tenant) as connection:
        channel = await open_phone(connection, shop)
        found = await conversation_at(connection, shop.tenant, channel.channel_id, phone)
        if found is None:
            return Thread([], False, None, None, "")
        messages = await history(connection, shop.tenant, found.conversation_id, SHOWN)
        turns = await turns_of(connection, shop.tenant, found.conversation_id)
    last = turns[-1] if turns else None
    held = found.holder == AGENT
    unanswered = any(one.direction == "in" and one.turn is None for one in messages)
    on_its_way = any(one.state in ("pending", "sending") for one in messages)
    return Thread(
        messages,
        held and (unanswered or on_its_way),
        None if held else found.held_reason or "",
        last,
        public_id(last.turn_id) if last else "",
    )


async def shop_for_phone(services: Services, name: str) -> Shop:
    """Return the shop of that name.

    Raises:
        Problem: 404, there is none.
    """
    found = await shop_named(services.opened.database, name)
    if found is None or not found.tenant:
        raise Problem(404, "unknown-shop", f"there is no shop {name[:63]!r}")
    return found


async def _shop(request: Request, services: Services) -> Shop:
    return await shop_for_phone(services, request.path_params.get("shop", DEMO))


def _address(shop: str, phone: str) -> str:
    return f"/phone/{shop}?{urlencode({'as': phone})}"
