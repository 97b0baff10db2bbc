"""`nexus catalogue import` of a large table: what is good is taken once, what is bad is named."""

import asyncio
import json
import os
import pty
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from functions.demo_open import FILES
from gateway.cli.main import main
from runtime.registry import load_registry
from runtime.settings import Settings
from state.shops import open_shop
from tests.runtime.harness import ROOT, Platform, environment, working

HEADING = (FILES / "products.csv").read_text(encoding="utf-8").splitlines()[0].split(";")
SIZES = "37", "38", "39"
PRODUCTS = 1000


@dataclass
class Table:
    """The CSV of Tienda Nube's admin: a thousand products in three sizes, some rows bad."""

    lines: list[str] = field(default_factory=lambda: [";".join(HEADING)])
    bad: list[int] = field(default_factory=list)
    """The lines on which bad rows begin."""

    def bad_row(self, **cells: str) -> None:
        self.bad.append(sum(line.count("\n") + 1 for line in self.lines) + 1)
        self.row(**cells)

    def row(self, **cells: str) -> None:
        names = {"handle": "Identificador de URL", "text": "Descripción", "name": "Nombre"}
        values = {names.get(name, name): value for name, value in cells.items()}
        self.lines.append(";".join(values.get(title, "") for title in HEADING))

    def product(self, number: int, price: str, *, named: bool = True) -> None:
        text = '"Cuero, hecho\na mano."' if number % 2 else "Lona."  # the one goes over two lines
        first = {"name": f"Botín {number}", "text": text} if named else {}
        for size in SIZES:
            sized = {"Nombre de propiedad 1": "Talle", "Valor de propiedad 1": size}
            self.row(handle=f"botin-{number}", Precio=price, Stock="3", **sized, **first)
            first = {}

    def save(self, file: Path) -> str:
        file.write_text("\n".join(self.lines) + "\n", encoding="cp1252")
        return str(file)


def generated(price: str = "1.234,50") -> Table:
    table = Table()
    for number in range(PRODUCTS):
        match number:
            case 10:
                table.bad_row(name="Sin identificador", Precio="1,00")
            case 500:
                table.bad_row(handle="sin-nombre", Precio="1,00")
            case 700:  # the row with its name is bad, the others are good
                table.bad_row(handle="botin-700", name="Botín 700", Precio="mucho")
            case 800:
                table.bad_row(handle="botin-799", Precio="1,00", Stock="varios")
        table.product(number, price, named=number != 700)
    table.bad_row(name="El último", handle="ultimo", Precio="-", text='"En dos\nlíneas"')
    return table


@pytest.fixture
async def platform(settings: Settings) -> AsyncIterator[Platform]:
    async with working(settings, [*load_registry("functions")]) as found:
        await open_shop(found.database, "uno")
        yield found


async def typed(settings: Settings, *arguments: str) -> int:
    environ = environment(settings, "functions")
    return await asyncio.to_thread(main, ["catalogue", *arguments, "--shop", "uno"], environ)


async def counted(platform: Platform) -> tuple[int, int, int]:
    """Products shown, variants, and cents of them all."""
    async with platform.database.engine() as connection:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM product WHERE published), count(*),"
            " sum(price_cents)::bigint FROM variant"
        )
    return row[0], row[1], row[2]


async def test_three_thousand_rows_are_taken_once_and_the_bad_ones_named(
    settings: Settings, platform: Platform, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = generated()
    file = table.save(tmp_path / "productos.csv")
    whole = (PRODUCTS, PRODUCTS * len(SIZES), PRODUCTS * len(SIZES) * 123450)
    assert await typed(settings, "import", file) == 0
    said = capsys.readouterr()
    assert said.out == "productos.csv: 1,000 taken, 5 rows refused\n"  # no bar where nobody looks
    assert [f"line {line}: " in said.err for line in table.bad] == [True] * 5
    assert len(said.err.splitlines()) == 5
    assert await counted(platform) == whole

    assert await typed(settings, "import", file, "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["state"], told["done"], told["total"]) == ("ready", 1000, 1000)
    assert [one["line"] for one in told["refused"]] == table.bad
    assert await counted(platform) == whole

    # The same under another name, and then with other prices: nothing is doubled.
    assert await typed(settings, "import", table.save(tmp_path / "otra.csv")) == 0
    assert await counted(platform) == whole
    file = generated("2.000,00").save(tmp_path / "otra.csv")
    assert await typed(settings, "import", file) == 0
    assert await counted(platform) == (*whole[:2], whole[1] * 200000)


async def test_progress_is_shown_on_a_terminal(
    settings: Settings, platform: Platform, tmp_path: Path
) -> None:
    file = generated().save(tmp_path / "productos.csv")
    ours, theirs = pty.openpty()
    arguments = ["-m", "gateway.cli", "catalogue", "import", file, "--shop", "uno"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *arguments),
        env=environment(settings, "functions"),
        cwd=ROOT,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=theirs,
        stderr=asyncio.subprocess.DEVNULL,
    )
    os.close(theirs)
    seen = await asyncio.to_thread(everything, ours)
    assert await process.wait() == 0
    assert "█" in seen
    assert "1,000 of 1,000\r" in seen
    assert seen.endswith("productos.csv: 1,000 taken, 5 rows refused\r\n")


def everything(terminal: int) -> str:
    """Read a terminal until its program has ended."""
    read = b""
    while True:
        try:
            more = os.read(terminal, 65536)
        except OSError:  # nobody writes to it any more
            more = b""
        if not more:
            os.close(terminal)
            return read.decode()
        read += more
