"""Which invocations a page is asked for, to and from its address."""

from typing import NamedTuple
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from state.ids import parse_id, public_id
from state.invocations import STATES


class Filter(NamedTuple):
    """Which invocations are asked for."""

    state: str | None = None
    function: str | None = None
    before: int | None = None

    @classmethod
    def of(cls, query: QueryParams) -> "Filter":
        """Read the address; what makes no sense there counts as not asked for."""
        state = query.get("state")
        try:
            before = parse_id(query["before"]) if query.get("before") else None
        except ValueError:
            before = None
        function = query.get("function") or None
        return cls(state if state in STATES else None, function and function[:63], before)

    def address(self, path: str = "/invocations", **changes: str | int | None) -> str:
        """Return the address of this filter, with some of it changed."""
        asked = {**self._asdict(), **changes}
        if asked["before"] is not None:
            asked["before"] = public_id(int(asked["before"]))
        query = urlencode({name: value for name, value in asked.items() if value is not None})
        return f"{path}?{query}" if query else path
