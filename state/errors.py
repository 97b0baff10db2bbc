"""What can go wrong in state, as one tree.

StateFault
  DatabaseAway       Postgres does not answer, or the connection broke (the outcome is unknown)
    DiskFull         it has no room to write: free some, and everything goes on
  DatabaseUnfit      Postgres answers, but may not be used as it is set up
  WorkerEnded        this worker was declared dead (SQLSTATE NX001)
  WorkLost           this attempt owns its work no more (SQLSTATE NX002)
  Locked             what was needed was held by somebody for too long; nothing was done
  Deadlock           the statement did nothing and may be repeated as it is
  StatementFailed    Postgres refuses a statement of ours: code and schema do not fit
  RowRejected        a row was refused for what it holds; repeating it cannot help
  CredentialSealed   its key is not in ENCRYPTION_KEY, or it was changed
    CredentialMisplaced  it was made for another row: somebody moved it
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg

WORKER_ENDED, WORK_LOST = "NX001", "NX002"


class StateFault(Exception):
    """Something went wrong in state."""


class DatabaseAway(StateFault):
    """Postgres does not answer, or the connection broke: what was asked may or may not be done."""


class DiskFull(DatabaseAway):
    """Postgres has no room to write; what waits is done once there is some."""


class DatabaseUnfit(StateFault):
    """Postgres answers, but may not be used as it is set up."""


class WorkerEnded(StateFault):
    """This worker was declared dead; its work belongs to others now."""


class WorkLost(StateFault):
    """This attempt owns its work no more."""


class Locked(StateFault):
    """Somebody held what was needed for too long; the statement did nothing."""


class Deadlock(StateFault):
    """The statement was the victim of a deadlock: it did nothing."""


class StatementFailed(StateFault):
    """Postgres refuses a statement of ours: code and schema do not fit."""


class RowRejected(StateFault):
    """A row was refused for what it holds; repeating it cannot help."""


class CredentialSealed(StateFault):
    """The key that sealed this credential is not in ENCRYPTION_KEY, or it was changed."""


class CredentialMisplaced(CredentialSealed):
    """It was made for another row, or for an earlier version of this one: somebody moved it."""


AWAY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,  # also: used while it was closing
    asyncpg.InternalClientError,  # also: broke in the middle of an answer
    asyncpg.OperatorInterventionError,  # shutdown, crash, starting up, terminated
    asyncpg.TooManyConnectionsError,
    asyncpg.IdleInTransactionSessionTimeoutError,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn asyncpg's errors into ours."""
    try:
        yield
    except asyncpg.DiskFullError as error:
        raise DiskFull("the disk with Postgres' data is full; free some space") from error
    except AWAY as error:
        raise DatabaseAway(first_line(error)) from error
    except (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError) as error:
        raise RowRejected(first_line(error)) from error
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
        raise Deadlock(first_line(error)) from error
    except asyncpg.LockNotAvailableError as error:
        raise Locked(first_line(error)) from error
    except asyncpg.PostgresError as error:
        if error.sqlstate == WORKER_ENDED:
            raise WorkerEnded(first_line(error)) from None
        if error.sqlstate == WORK_LOST:
            raise WorkLost(first_line(error)) from None
        raise StatementFailed(first_line(error)) from error


def first_line(error: BaseException) -> str:
    """Return the kind of an error and its first line, without the rows it quotes."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
