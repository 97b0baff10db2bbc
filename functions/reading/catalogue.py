"""The catalogue that Tienda Nube's admin exports: a table with one row per variant.

Rows of one product share the identifier; only the first has its name and description. Columns are
known by their names, in Spanish or Portuguese, whatever their order.
"""

import csv
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from functions.reading.documents import separator
from functions.reading.text import Unreadable, decoded
from state.catalogue import NewProduct, NewVariant
from state.rules.money import cents_of
from state.sources import Refused

COLUMNS: Mapping[str, tuple[str, ...]] = {
    "handle": ("Identificador de URL", "Identificador URL"),
    "name": ("Nombre", "Nome"),
    "categories": ("Categorías", "Categorias"),
    "price": ("Precio", "Preço"),
    "offer": ("Precio promocional", "Preço promocional"),
    "stock": ("Stock", "Estoque"),
    "sku": ("SKU",),
    "shown": ("Mostrar en tienda", "Exibir na loja"),
    "description": ("Descripción", "Descrição"),
    "tags": ("Tags",),
    "brand": ("Marca",),
}
OPTION = re.compile(r"(nombre|nome|valor) d[ea] (?:propiedad|variação) ([123])", re.IGNORECASE)
TAG = re.compile(r"<[^>]+>")
NO = frozenset({"no", "não", "nao", "false", "0"})
NAME_LIMIT, TEXT_LIMIT = 300, 10_000


@dataclass
class Catalogue:
    """What a file holds."""

    products: list[NewProduct] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    rows: int = 0


def read(body: bytes) -> Catalogue:
    """Read a catalogue; rows that cannot be taken are named by their lines, the rest is taken.

    Raises:
        Unreadable: it is no such file at all.
    """
    text = decoded(body)
    rows = csv.reader(io.StringIO(text), delimiter=separator(text))
    try:
        heading = [cell.strip().lower() for cell in next(rows, [])]
    except csv.Error as error:
        raise Unreadable(f"the file is no table: {error}") from None
    known = {
        name: heading.index(title.lower())
        for name, titles in COLUMNS.items()
        for title in titles
        if title.lower() in heading
    }
    missing = [COLUMNS[name][0] for name in ("handle", "name", "price") if name not in known]
    if missing:
        raise Unreadable(
            f"the file has no column {missing[0]!r}: export it in Tienda Nube's admin under"
            " Productos, Exportar"
        )
    found = Catalogue()
    drafts: dict[str, _Draft] = {}
    for line, cells in _lines(rows, found):
        found.rows += 1
        try:
            _take(_Row(line, cells, known, heading), drafts)
        except ValueError as why:
            found.refused.append(Refused(line, str(why)))
    found.products = [draft.product() for draft in drafts.values() if draft.variants]
    return found


def _lines(rows: "csv._reader", found: Catalogue) -> Iterator[tuple[int, list[str]]]:  # type: ignore[name-defined]
    """Give each row with the line on which it begins: a text may go over several."""
    while True:
        line = rows.line_num + 1
        try:
            cells = next(rows)
        except StopIteration:
            return
        except csv.Error as error:
            found.refused.append(Refused(line, f"no row of a table: {error}"))
            continue
        if any(cell.strip() for cell in cells):
            yield line, cells


@dataclass
class _Row:
    line: int
    cells: list[str]
    known: Mapping[str, int]
    heading: list[str]

    def __getitem__(self, name: str) -> str:
        place = self.known.get(name)
        return self.cells[place].strip() if place is not None and place < len(self.cells) else ""

    def options(self) -> dict[str, str]:
        """Return what tells this variant from the others."""
        names: dict[str, str] = {}
        values: dict[str, str] = {}
        for title, cell in zip(self.heading, self.cells, strict=False):
            found = OPTION.fullmatch(title)
            if found is not None and cell.strip():
                (values if found[1].lower() == "valor" else names)[found[2]] = cell.strip()
        return {names.get(number, f"Opción {number}"): value for number, value in values.items()}


@dataclass
class _Draft:
    handle: str
    row: _Row
    variants: list[NewVariant] = field(default_factory=list)

    def product(self) -> NewProduct:
        row = self.row
        return NewProduct(
            handle=self.handle,
            name=row["name"][:NAME_LIMIT],
            description=" ".join(TAG.sub(" ", row["description"]).split())[:TEXT_LIMIT],
            categories=row["categories"],
            tags=row["tags"],
            brand=row["brand"],
            url=None,
            published=row["shown"].lower() not in NO,
            variants=self.variants,
        )


def _take(row: _Row, drafts: dict[str, _Draft]) -> None:
    handle = row["handle"]
    if not handle:
        raise ValueError("the identifier (Identificador de URL) is missing")
    if handle not in drafts:
        if not row["name"]:
            raise ValueError("the first row of a product has no name (Nombre)")
        # Even if this row is refused below: its name stands for the others too.
        drafts[handle] = _Draft(handle, row)
    variant = NewVariant(
        row.options(),
        row["sku"] or None,
        _cents(row["price"], "Precio"),
        _cents(row["offer"], "Precio promocional"),
        _stock(row["stock"]),
    )
    drafts[handle].variants.append(variant)


def _cents(text: str, column: str) -> int | None:
    if not text:
        return None
    cents = cents_of(text.lstrip("$R ").strip())
    if cents is None:
        raise ValueError(f"{column} is no amount")
    return cents


def _stock(text: str) -> int | None:
    if not text:
        return None
    try:
        count = int(float(text.replace(",", ".")))
    except (ValueError, OverflowError):
        raise ValueError("Stock is no number") from None
    return max(0, min(count, 2**31 - 1))
