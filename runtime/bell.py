"""A bell: the RQ job that says "look at this function's work".

One job per function, listed in the function's RQ queue once per invocation. It may be lost,
doubled, reordered or forged without harm: Postgres decides, and every worker looks there once a
second anyway. Our workers only read which list rang; nothing in Redis ever chooses code to run.
"""

QUEUE = "rq:queue:"
LISTED_AT_MOST = 1000
"""Per ring: a list is a hint, its length need not be exact."""


def look(function: int) -> None:
    """Do nothing, in case a stock `rq worker` takes a bell: the work stays in Postgres."""


def queue_key(name: str) -> str:
    """Return the Redis list of a function's bells."""
    return QUEUE + name


def job_id(name: str) -> str:
    """Return the id of a function's bell. RQ ids must not contain a colon."""
    return f"bell-{name}"


def job_key(name: str) -> str:
    """Return the Redis hash of a function's bell."""
    return f"rq:job:{job_id(name)}"
