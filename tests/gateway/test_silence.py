"""What the gateway keeps to itself: secrets, and what shoppers write."""

import json
import logging
from collections.abc import Iterator

import pytest
from starlette.applications import Starlette

from tests.gateway.conftest import ADMIN_TOKEN, BEARER, client_of
from tests.gateway.people import FORM, sign_in

SEED = "5491155550000 wants red shoes"


class Heard(logging.Handler):
    """Keeps every record, with all its fields."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.dumps(vars(record), default=str))


@pytest.fixture
def heard() -> Iterator[Heard]:
    handler, logger = Heard(), logging.getLogger("nexus")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


async def test_neither_secrets_nor_messages_get_into_logs_and_errors(
    app: Starlette, heard: Heard, worker: None
) -> None:
    answers = []
    async with client_of(app) as client:
        answers += [
            await client.post("/functions/hello", json={"nam": SEED}, headers=BEARER),
            await client.post("/functions/hello", json={"name": [SEED]}, headers=BEARER),
            await client.post(f"/functions/{SEED}", json={}, headers=FORM),
            await client.post("/functions/hello", content=SEED, headers=BEARER),
            await client.get("/metrics", headers={"Authorization": f"Bearer {SEED}"}),
            await sign_in(client, SEED),
            await client.post("/login", data={"code": SEED}, headers=FORM),
            await client.get("/invocations", params={"function": SEED}, headers=FORM),
            await sign_in(client),
        ]
        app.state.boards = SEED  # a bug, with the message at hand
        answers.append(await client.get("/invocations", headers=FORM))
    text = "\n".join(heard.lines)

    assert answers[-1].status_code == 500
    assert "request failed" in text
    for secret in (SEED, ADMIN_TOKEN, BEARER["Authorization"][7:], "red shoes"):
        assert secret not in text
        for answer in answers:
            assert secret not in answer.text
