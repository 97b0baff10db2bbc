"""An invocation's stream as server-sent events: what it emits, and how it ends.

A chunk is an unnamed event; its id is its place, from which `Last-Event-ID` goes on. `restart`: the
attempt failed and another one has begun, so what came before does not count. `done`, `dead` or
`cancelled` is the last one. A gateway that stops tells its streams to come back at once.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gateway.live import COME_BACK, HEARTBEAT_SECONDS
from gateway.problems import Problem
from gateway.services import Services
from runtime.follower import Emitted, Ended, Follower, Restarted, Told, parse_cursor
from state.ids import public_id

MEDIA_TYPE = "text/event-stream"
STREAMS_AT_MOST = 1000
BEGINNING = (0, 0)


def wants_stream(request: Request) -> bool:
    """Say whether the caller asks for server-sent events."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def check_stream(request: Request) -> tuple[int, int]:
    """Return the place from which a stream is asked for.

    Raises:
        Problem: it is none, or there are as many streams as this process should carry.
    """
    services: Services = request.app.state.services
    if services.opened.dispatcher.streams.count >= STREAMS_AT_MOST:
        raise Problem(503, "too-many-streams", "too many streams", headers={"Retry-After": "10"})
    given = request.headers.get("last-event-id", "")
    try:
        return parse_cursor(given) if given else BEGINNING
    except ValueError as error:
        raise Problem(
            400,
            "bad-last-event-id",
            f"Last-Event-ID: {error}",
            remedy="Send the `id` of the last event you got, or leave the header out.",
        ) from None


def stream(
    services: Services, invocation: int, after: tuple[int, int], headers: Mapping[str, str]
) -> Response:
    """Return the response that streams an invocation from a place on."""
    return StreamingResponse(
        _messages(services, invocation, after),
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no", **headers},
    )


async def _messages(
    services: Services, invocation: int, after: tuple[int, int]
) -> AsyncIterator[str]:
    yield ": welcome\n\n"
    stopping = services.stopping.begun
    async with services.opened.dispatcher.streams.following(invocation, after) as follower:
        while not stopping.is_set():
            told = await _next(follower)
            if told:
                yield "".join(_message(invocation, each) for each in told)
                if isinstance(told[-1], Ended):
                    return
            elif not stopping.is_set():
                yield ": still here\n\n"
    yield COME_BACK


async def _next(follower: Follower) -> list[Told]:
    """Wait for what comes next; nothing: look up, it is quiet or we stop."""
    with suppress(TimeoutError):
        async with asyncio.timeout(HEARTBEAT_SECONDS):
            await follower.news.wait()
    return follower.take()


def _message(invocation: int, told: Told) -> str:
    match told:
        case Emitted(cursor, data):
            return f"id: {cursor}\ndata: {data}\n\n"
        case Restarted(cursor):
            return f"event: restart\nid: {cursor}\ndata: {{}}\n\n"
        case Ended(cursor, state, result, error):
            document = json.dumps(
                {
                    "id": public_id(invocation),
                    "state": state,
                    "result": None if result is None else json.loads(result),
                    "error": error,
                },
                ensure_ascii=False,
            )
            return f"event: {state}\nid: {cursor}\ndata: {document}\n\n"
