"""Open the demo shop: something to talk to at once, without any account.

Safe to run twice: the shop, its phone and its files are there or are made; a file that did not
change is not read again.
"""

from pathlib import Path

from functions.catalogue_import import CatalogueImport
from functions.knowledge_read import KnowledgeRead
from runtime import Context, Event, function
from state.channels import open_phone
from state.shops import found_shop, update_shop
from state.sources import CATALOGUE, DOCUMENT, give_source

NAME, TITLE = "demo", "Pampa Calzados y Ropa"
FILES = Path(__file__).parent / "demo"
PRODUCTS = "products.csv"


class DemoOpen(Event):
    """This installation is to have a demo shop."""


@function(timeout=60)
async def demo_open(event: DemoOpen, ctx: Context) -> list[str]:
    """Open the demo shop; returns the files that are read now."""
    if ctx.shop is not None:
        return []
    given = []
    files = {path.name: path.read_bytes() for path in sorted(FILES.iterdir()) if path.is_file()}
    async with ctx.transaction() as transaction:
        shop = await found_shop(transaction.connection, NAME)
        await update_shop(transaction.connection, shop.tenant, title=TITLE)
        async with transaction.shop(shop.tenant) as bound:
            await open_phone(bound.connection, shop)
            for name, body in files.items():
                kind = CATALOGUE if name == PRODUCTS else DOCUMENT
                source, new = await give_source(
                    bound.connection, shop.tenant, kind, name, "text/plain", body
                )
                if new:
                    read = CatalogueImport if kind == CATALOGUE else KnowledgeRead
                    bound.dispatch(read(source_id=source.source_id))
                    given.append(name)
    return given
