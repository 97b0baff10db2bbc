"""Shops by number, remembered: a shop's name does not change while a process lives."""

from runtime.context import Shop
from runtime.steps import patiently
from state.database import Database
from state.shops import INSTALLATION, shop_numbered


class Shops:
    """The shops that this process has met."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[int, Shop] = {}

    async def numbered(self, tenant: int) -> Shop | None:
        """Return the shop of that number; None: the installation itself."""
        if tenant == INSTALLATION:
            return None
        if tenant not in self._known:
            found = await patiently(lambda: shop_numbered(self._database, tenant))
            if found is None:  # deleted while its work was waiting: not remembered
                return Shop(tenant, f"shop-{tenant}")
            self._known[tenant] = Shop(found.tenant, found.name)
        return self._known[tenant]
