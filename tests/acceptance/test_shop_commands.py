"""Shops, apps, numbers and files, as an operator types them; and a chat in the terminal."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.providers.webhooks import envelope, signed
from tests.stacks import RunningStack, running_stack, wait_for

HEADING = "Identificador de URL;Nombre;Precio;Stock\n"


@pytest.fixture(scope="module")
def stack(servers_folder: Path) -> Iterator[RunningStack]:
    with running_stack(servers_folder / "shop-commands") as running:
        running.wait_ready()
        yield running


def typed(stack: RunningStack, text: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run a command with something on its standard input."""
    return stack.run(*arguments, text=text, timeout=90)


def test_a_stranger_chats_with_the_demo_shop_at_once(stack: RunningStack) -> None:
    said = typed(stack, "¿tenés campera inflable?\nquiero hablar con una persona\n", "chat")
    assert said.returncode == 0, said.stderr
    assert "$ 129.900" in said.stdout
    assert "modelo de demostración" in said.stdout
    assert "a person goes on from here" in said.stdout
    assert "not sent" not in said.stdout

    (listed,) = json.loads(stack.run("conversations", "--json").stdout)
    assert listed["holder"] == "person"
    shown = stack.run("conversation", listed["id"])
    assert "recalled Campera inflable Glaciar" in shown.stdout
    assert "handed_over" in shown.stdout
    given = stack.run("conversation", listed["id"], "--give")
    assert "the agent has it" in given.stdout


def test_a_number_is_connected_without_typing_a_secret(stack: RunningStack, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("app-secret-of-meta\n")
    assert stack.run("shops", "add", "pampa", "--title", "Pampa").returncode == 0
    added = stack.run("apps", "add", "meta", "--secret-file", str(secret))
    assert "/webhooks/whatsapp/meta" in added.stdout
    assert "app-secret-of-meta" not in added.stdout + added.stderr
    number = ["--phone-number-id", "106540352242922", "--number", "+54 341 555-0100"]
    bound = typed(stack, "token\n", "channels", "add", "--shop", "pampa", "--app", "meta", *number)
    assert "+54 341 555-0100" in bound.stdout, bound.stderr

    assert "no model's key is known" in bound.stderr
    again = stack.run("apps", "add", "meta", "--secret-file", str(secret), "--json")
    assert len(json.loads(again.stdout)["verify_token"]) > 20

    key, words = tmp_path / "key", tmp_path / "words.md"
    key.write_text("sk-canary\n")
    words.write_text("Ofrecé el club Pampa.")
    model = ["--model", "reasoner-9", "--seconds", "200", "--tokens", "9000"]
    files = ["--model-key-file", str(key), "--instructions-file", str(words)]
    told = stack.run("agents", "set", "--shop", "pampa", *model, *files)
    assert (told.returncode, "sk-canary" in told.stdout + told.stderr) == (0, False), told.stderr
    agent = json.loads(stack.run("agents", "show", "--shop", "pampa", "--json").stdout)
    assert (agent["model"], agent["seconds"], agent["tokens"]) == ("reasoner-9", 200, 9000)
    assert agent["instructions"] == "Ofrecé el club Pampa."
    assert agent["key_since"]
    unset = ["--unset", "model-key", "--unset", "model", "--unset", "seconds"]
    agent = json.loads(stack.run("agents", "set", "--shop", "pampa", *unset, "--json").stdout)
    assert (agent["model"], agent["seconds"], agent["key_since"]) == (None, 240, None)
    assert "(OPENAI_MODEL)" in stack.run("agents", "show", "--shop", "pampa").stdout
    assert "pampa" in stack.run("agents").stdout

    limit = ["--tokens-per-conversation", "70000"]
    assert stack.run("agents", "set", "--shop", "pampa", *limit).returncode == 0
    (day,) = json.loads(stack.run("budgets", "--shop", "pampa", "--json").stdout)
    assert (day["scope"], day["spent"], day["reserved"], day["limit"]) == ("day", 0, 0, 5_000_000)
    assert "5,000,000" in stack.run("budgets").stdout

    for wrong, remedy in (
        (["agents", "set", "--seconds", "900"], "--seconds is 5 to 280, not 900"),
        (["agents", "set", "--base-url", "ftp://x"], "https://models.example/v1"),
        (["agents", "set", "--model", " "], "--unset model"),
        (["agents", "set"], "nothing to set"),
        (["channels", "quiet", "1", "--seconds", "99"], "0 to 20"),
        (["channels", "add", "--app", "meta"], "--phone-number-id is missing"),
        (["channels", "add", "--app", "nobody", *number], "nexus apps add nobody"),
        (["apps", "add", "Meta!"], "small letters"),
        (["apps", "add", "other", "--provider", "nowhere"], "whatsapp"),
        (["chat", "--shop", "nobody"], "there is no shop 'nobody'"),
        (["knowledge", "add", "/nowhere.md"], "No such file"),
    ):
        said = typed(stack, "x\n", *wrong)
        assert said.returncode == 2, (wrong, said.stderr)
        assert remedy in said.stderr, (wrong, said.stderr)


def test_what_nobody_could_take_is_listed_and_shown_on_request(
    stack: RunningStack, tmp_path: Path
) -> None:
    assert "No oddities" in stack.run("oddities").stdout
    secret = tmp_path / "secret"
    secret.write_text("app-secret-of-odd\n")
    stack.run("apps", "add", "odd", "--secret-file", str(secret))
    body, headers = signed(envelope("777", messages=["call 5493415550100"]), "app-secret-of-odd")
    url = f"http://127.0.0.1:{stack.environment['PORT']}/webhooks/whatsapp/odd"

    def taken() -> bool:  # the gateway learns of a new registration within a second
        answer = httpx2.post(url, content=body, headers=headers, trust_env=False)
        return answer.status_code == 200

    wait_for("200", taken, 8)
    listed = wait_for("an oddity", lambda: json.loads(stack.run("oddities", "--json").stdout), 8)
    assert (listed[0]["app"], listed[0]["reason"]) == ("odd", "not an object")
    table = stack.run("oddities")
    assert "messages[0]" in table.stdout
    assert "5493415550100" not in table.stdout
    shown = stack.run("oddities", "show", str(listed[0]["oddity_id"]))
    assert '"call 5493415550100"' in shown.stdout
    missing = stack.run("oddities", "show", "99999")
    assert (missing.returncode, "see `nexus oddities`" in missing.stderr) == (1, True)


def test_files_are_read_with_their_bad_rows_named(stack: RunningStack, tmp_path: Path) -> None:
    rows = [f"p-{number};Producto {number};{number},50;3" for number in range(1, 301)]
    rows[9] = "p-10;Producto 10;mucho;3"
    rows[19] = ";Sin identificador;1;1"
    table = tmp_path / "productos.csv"
    table.write_text(HEADING + "\n".join(rows), encoding="cp1252")
    said = stack.run("catalogue", "import", str(table), "--shop", "demo")
    assert said.returncode == 0, said.stderr
    assert "298 taken, 2 rows refused" in said.stdout
    assert "line 11: Precio is no amount" in said.stderr
    again = stack.run("catalogue", "import", str(table), "--shop", "demo")
    assert "nothing new" in again.stdout

    scanned = tmp_path / "scan.pdf"
    scanned.write_bytes(b"%PDF-1.4 nothing")
    page = tmp_path / "garantia.html"
    page.write_text("<h1>Garantía</h1><p>Seis meses.</p><script>no()</script>")
    assert stack.run("knowledge", "add", str(page)).returncode == 0
    bad = stack.run("knowledge", "add", str(scanned))
    assert bad.returncode == 1
    assert "scan" in bad.stderr
    assert stack.run("knowledge", "remove", "garantia.html").returncode == 0


def test_keys_are_shown_sealed_anew_and_retired(stack: RunningStack, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("access-token-of-meta\n")
    stack.run("apps", "add", "rotating", "--secret-file", str(token))
    file = tmp_path / "a.backup"
    assert stack.run("backup", str(file)).returncode == 0
    (only,) = json.loads(stack.run("keys", "--json").stdout)
    assert (only["role"], only["credentials"] > 0, only["backups"]) == ("seals", True, 1)

    old = (stack.state / "secrets" / "encryption_key").read_text().strip()
    new = json.loads(stack.run("keys", "new", "--json").stdout)
    ring = {"ENCRYPTION_KEY": f"{new['entry']},{old}"}
    refused = stack.run("keys", "retire", only["key"], settings=ring)
    assert refused.returncode == 1
    assert "First: nexus keys rotate" in refused.stdout
    turned = json.loads(stack.run("keys", "rotate", "--batch", "1", "--json", settings=ring).stdout)
    assert turned["resealed"] == turned["old"] == only["credentials"]
    retire = ("keys", "retire", only["key"])
    kept = stack.run(*retire, settings=ring)
    assert kept.returncode == 1
    assert str(file) in kept.stdout
    assert stack.run(*retire, "--backups-gone", settings=ring).returncode == 0
    alone = {"ENCRYPTION_KEY": new["entry"]}
    verified = stack.run("keys", "verify", settings=alone)
    assert f"{only['credentials']} of {only['credentials']} credentials open" in verified.stdout
    lost = stack.run("keys")
    assert lost.returncode == 1
    assert "missing" in lost.stdout
    assert "Put the missing keys back" in lost.stdout


def test_a_shop_gets_a_domain_of_its_own_and_loses_it(stack: RunningStack) -> None:
    assert "No domains yet" in stack.run("domains").stdout
    added = stack.run("domains", "add", "Tienda-Ñandú.example")
    assert added.returncode == 0, added.stderr
    assert "tienda-ñandú.example is a domain of demo: applied" in added.stdout
    assert "curl -H 'Host: xn--tienda-and-z9a5i.example'" in added.stdout
    host = {"Host": "xn--tienda-and-z9a5i.example"}
    url = f"http://127.0.0.1:{stack.environment['PORT']}"
    assert httpx2.get(f"{url}/healthz", headers=host, trust_env=False).status_code == 200
    assert httpx2.get(f"{url}/metrics", headers=host, trust_env=False).status_code == 404
    assert "tienda-ñandú.example  demo  applied" in stack.run("domains").stdout

    assert stack.run("domains", "remove", "tienda-ñandú.example").returncode == 0

    def gone() -> bool:
        return httpx2.get(f"{url}/healthz", headers=host, trust_env=False).status_code == 404

    wait_for("404", gone, 8)
