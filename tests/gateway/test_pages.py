"""The pages as they come from the server, without any script."""

import json
import re

from starlette.applications import Starlette

from gateway.assets import assets
from gateway.envelope import CONTENT_SECURITY_POLICY
from gateway.pages.board import PAGE
from gateway.pages.oddities import PAGE as ODDITIES
from state.alerts import Alerts
from state.database import Database
from state.ids import public_id
from state.invocations import Invocations
from state.oddities import Odd, note_oddities, oddities, raw_part
from tests.gateway.conftest import BEARER, Client
from tests.gateway.people import csrf_of, send, sign_in

ASYNC = {**BEARER, "Prefer": "respond-async"}


async def store(client: Client, name: str = "Ana", function: str = "hello") -> str:
    """Store an invocation that nobody runs."""
    answer = await client.post(f"/functions/{function}", json={"name": name}, headers=ASYNC)
    found: str = answer.json()["id"]
    return found


async def test_an_empty_list_tells_what_to_type(outside: Client) -> None:
    await sign_in(outside)
    page = await outside.get("/invocations")

    assert "./nexus invoke hello name=Ana" in page.text
    assert "Nothing has run yet" in page.text


async def test_the_list_shows_the_newest_first_and_filters(outside: Client) -> None:
    await sign_in(outside)
    first = await store(outside)
    second = await store(outside, function="greet")
    everything = await outside.get("/invocations")
    greetings = await outside.get("/invocations?function=greet")
    dead = await outside.get("/invocations?state=dead")
    odd = await outside.get("/invocations?state=nonsense&before=%00&function=")

    assert everything.text.index(second) < everything.text.index(first)
    assert first not in greetings.text
    assert second in greetings.text
    assert "Nothing matches" in dead.text
    assert second in odd.text


async def test_older_ones_are_pages_away(outside: Client) -> None:
    await sign_in(outside)
    names = [await store(outside) for _ in range(PAGE + 2)]
    first = await outside.get("/invocations")
    link = re.search(r'href="([^"]+)" rel="next"', first.text)
    assert link is not None
    second = await outside.get(link[1])

    assert names[1] not in first.text
    assert f'id="row-{names[1]}"' in second.text
    assert f'id="row-{names[0]}"' in second.text
    assert f'id="row-{names[2]}"' not in second.text
    assert 'rel="next"' not in second.text


async def test_what_shoppers_write_cannot_become_markup(outside: Client) -> None:
    await sign_in(outside)
    hostile = "<script>alert(1)</script><hx-partial hx-target='#live'>\" onload=x"
    name = await store(outside, hostile)
    page = await outside.get(f"/invocations/{name}")

    assert "<script>alert" not in page.text
    assert "<hx-partial" not in page.text
    assert "&lt;script&gt;" in page.text


async def test_one_invocation_shows_its_event_and_what_happened(
    outside: Client, worker: None
) -> None:
    await sign_in(outside)
    await outside.post("/functions/hello", json={"name": "Ana"}, headers=BEARER)
    name = re.search(r"inv_\w{13}", (await outside.get("/invocations")).text)
    assert name is not None
    page = await outside.get(f"/invocations/{name[0]}")

    assert json.dumps({"name": "Ana"}, indent=2).replace('"', "&#34;") in page.text
    assert "Hello, Ana!" in page.text
    assert "Return a greeting." in page.text


async def test_cancelling_asks_first_then_tells(outside: Client, database: Database) -> None:
    await sign_in(outside)
    name = await store(outside)
    asked = await send(outside, f"/invocations/{name}/cancel")
    before = (await Invocations(database).page())[0].state
    done = await send(outside, f"/invocations/{name}/cancel", sure="yes")
    told = await outside.get(done.headers["location"])
    again = await send(outside, f"/invocations/{name}/cancel", sure="yes")

    assert "Cancel this invocation?" in asked.text
    assert before == "waiting"
    assert done.status_code == 303
    assert "It will not run again" in told.text
    assert (await Invocations(database).page())[0].state == "cancelled"
    assert again.headers["location"].endswith("said=finished")


async def test_running_again_is_offered_for_what_ended_badly(
    outside: Client, database: Database
) -> None:
    await sign_in(outside)
    name = await store(outside)
    await send(outside, f"/invocations/{name}/cancel", sure="yes")
    page = await outside.get(f"/invocations/{name}")
    done = await send(outside, f"/invocations/{name}/replay", sure="yes")

    assert f'formaction="/invocations/{name}/replay"' in page.text
    assert f'formaction="/invocations/{name}/cancel"' not in page.text
    assert done.headers["location"].endswith("said=replayed")
    assert (await Invocations(database).page())[0].state == "waiting"


async def test_an_alert_is_shown_until_somebody_dealt_with_it(
    outside: Client, database: Database
) -> None:
    await sign_in(outside)
    async with database.engine() as connection:
        await connection.execute(
            "INSERT INTO alert (tenant, kind, subject, message) VALUES (0, 'dead', 7, 'hello died')"
        )
    (alert,) = await Alerts(database).open()
    before = await outside.get("/invocations")
    done = await send(outside, f"/alerts/{alert.id}/resolve")
    after = await outside.get("/invocations")
    async with database.engine() as connection:
        audit = await connection.fetchval(
            "SELECT actor FROM audit_log WHERE action = 'alert.resolve'"
        )

    assert "hello died" in before.text
    assert f"/invocations/{public_id(7)}" in before.text
    assert done.headers["location"].endswith("said=resolved")
    assert "hello died" not in after.text
    assert audit.startswith("session:")


async def test_oddities_are_listed_without_what_they_say(
    outside: Client, database: Database
) -> None:
    await sign_in(outside)
    empty = await outside.get("/oddities")
    async with database.engine() as connection:
        delivery_id = await connection.fetchval(
            "INSERT INTO delivery (app, body) VALUES ('meta', $1) RETURNING delivery_id",
            b'{"entry": [{"changes": ["call me at 5493415550100"]}]}',
        )
        odd = [Odd(f"entry[0].changes[{n}]", "not an object <b>") for n in range(ODDITIES + 1)]
        await note_oddities(connection, 0, delivery_id, odd)
        newest, *_ = await oddities(connection, 1)
        raw = await raw_part(connection, newest._replace(place="entry[0].changes[0]"))
    page = await outside.get("/oddities")
    older = await outside.get(f"/oddities?before={newest.oddity_id - ODDITIES + 1}")
    nonsense = await outside.get("/oddities?before=%00")

    assert "No oddities" in empty.text
    assert "not an object &lt;b&gt;" in page.text
    assert page.text.count('<tr id="oddity-') == nonsense.text.count('<tr id="oddity-') == ODDITIES
    assert older.text.count('<tr id="oddity-') == 1
    assert "5493415550100" not in page.text
    assert raw == '"call me at 5493415550100"'


async def test_a_page_that_is_not_there_says_so_in_words(outside: Client) -> None:
    await sign_in(outside)
    for path in ("/invocations/inv_0000000000000", "/invocations/%00", "/nowhere"):
        page = await outside.get(path, headers={"Accept": "text/html"})
        program = await outside.get(path)
        assert page.status_code == program.status_code == 404, path
        assert "Nothing is here" in page.text, path
        assert program.headers["content-type"] == "application/problem+json", path
        assert page.headers["x-request-id"] in page.text


async def test_everything_carries_the_security_headers(app: Starlette, outside: Client) -> None:
    for path in ("/login", "/healthz", "/nowhere", "/metrics", assets()["nexus.css"].address):
        headers = (await outside.get(path)).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY, path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["x-frame-options"] == "DENY", path
        assert headers["referrer-policy"] == "same-origin", path
    assert (await outside.get("/login")).headers["cache-control"] == "no-store"


async def test_no_page_needs_what_the_policy_forbids(outside: Client) -> None:
    await sign_in(outside)
    name = await store(outside)
    for path in ("/login?code=x", "/invocations", f"/invocations/{name}", "/nowhere"):
        text = (await outside.get(path, headers={"Accept": "text/html"})).text
        assert "<style" not in text
        assert " style=" not in text
        assert not re.search(r"<script(?![^>]*\ssrc=)", text)
        assert not re.search(r"\son\w+=", text)
        assert not re.search(r"(src|href|action)=\"(https?:)?//", text)
        assert text.count("<h1") == 1


async def test_files_are_kept_for_ever_under_the_name_of_their_content(outside: Client) -> None:
    page = await outside.get("/login")
    names = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.text)
    for name in names:
        answer = await outside.get(name)
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    css = assets()["nexus.css"].address
    older = await outside.get(css.replace(css.split(".")[-2], "0000000000"))

    assert len(names) >= 5
    assert older.headers["cache-control"] == "no-cache"
    for odd in ("/static/nexus.css", "/static/htmx.LICENSE.txt", "/static/..%2fapp.py"):
        assert (await outside.get(odd)).status_code == 404, odd


async def test_htmx_is_shipped_with_its_licence() -> None:
    from gateway.assets import HERE

    assert "htmx 4" in (HERE / "htmx.LICENSE.txt").read_text()
    assert 'version="4.' in (HERE / "htmx.js").read_text().replace("'", '"')


async def test_the_moving_part_holds_no_secret(outside: Client) -> None:
    await sign_in(outside)
    await store(outside)
    page = await outside.get("/invocations")
    moving = page.text[page.text.index('<div id="live">') : page.text.index("<footer")]

    assert await csrf_of(outside) not in moving


async def test_one_with_steps_runs_again_from_the_chosen_one(
    outside: Client, database: Database, worker: None
) -> None:
    await sign_in(outside)
    stored = await outside.post("/functions/errand", json={"fail": True}, headers=BEARER)
    name = stored.headers["nexus-invocation"]
    page = await outside.get(f"/invocations/{name}")
    asked = await send(outside, f"/invocations/{name}/replay", from_step="carry")
    refused = await send(outside, f"/invocations/{name}/replay", from_step="look", sure="yes")
    told = await outside.get(refused.headers["location"])
    done = await send(outside, f"/invocations/{name}/replay", from_step="carry", sure="yes")

    assert '<option value="carry">From step carry on</option>' in page.text
    assert '<input type="hidden" name="from_step" value="carry">' in asked.text
    assert refused.headers["location"].endswith("said=step_refused")
    assert "would happen a second time" in told.text
    assert done.headers["location"].endswith("said=replayed")
