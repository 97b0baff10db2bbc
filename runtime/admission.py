"""What is asked before an attempt starts, for functions that limit their starts.

Attempts that come together share one statement; functions without limits ask nothing. Safe to run
twice: asking again gets the same answer, later.
"""

from runtime.attempt import Attempt
from runtime.batch import Batcher
from runtime.steps import patiently
from state.admission import too_late
from state.database import Database
from state.errors import DatabaseAway
from state.work import Finish

ASK_AT_MOST = 500


class Admission:
    """Lets attempts of one process start, or ends them unstarted."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._late: Batcher[int, bool] = Batcher(self._ask, ASK_AT_MOST)

    async def refused(self, attempt: Attempt) -> Finish | None:
        """Return how an attempt ends that may not start now; None: it starts."""
        if attempt.function.policy.deadline is None:
            return None
        try:
            late = await patiently(lambda: self._late.put(attempt.claimed.id))
        except DatabaseAway as error:
            return attempt.unlucky(error)
        return attempt.too_late() if late else None

    async def _ask(self, ids: list[int]) -> list[bool]:
        async with self._database.engine() as connection:
            late = await too_late(connection, ids)
        return [one in late for one in ids]
