"""How much each contender gets to do: rates are compared, so a slow one gets less."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Sizes:
    """Of one contender's measures."""

    jobs: int
    """No-ops that are sent before the worker starts."""
    single: int
    """Sends that are awaited one by one."""
    many: int
    """Sends in bulk."""
    paces: int
    """Sends to an idle worker."""
    waits: tuple[int, ...] = (1_000, 10_000)
    """How many handlers wait at the same time. Empty: it runs one after another."""
    seconds: float = 60
    """No measure takes longer; what was reached until then counts."""


FULL = {
    "nexus": Sizes(20_000, 500, 20_000, 300),
    "rq_worker": Sizes(300, 1_000, 5_000, 100, waits=()),
    "rq_simple": Sizes(1_000, 0, 0, 200, waits=()),
    "taskiq": Sizes(5_000, 1_000, 5_000, 200),
    "saq": Sizes(5_000, 1_000, 5_000, 200),
    "arq": Sizes(5_000, 1_000, 5_000, 20),
    "dramatiq": Sizes(5_000, 1_000, 5_000, 200),
    "celery": Sizes(2_000, 1_000, 2_000, 100),
    "procrastinate": Sizes(2_000, 300, 5_000, 100),
    "dbos": Sizes(400, 100, 400, 10, waits=(1_000,)),
}


QUICK_10_000 = ("nexus", "taskiq", "arq")
"""Others take too long to be sent 10,000: null in a quick run."""


def sizes_of(name: str, *, quick: bool) -> Sizes:
    """Return a contender's sizes; quick ones are a part of the full ones."""
    full = FULL[name]
    if not quick:
        return full
    part = 1 if name == "nexus" else 3
    return replace(
        full,
        jobs=full.jobs // part,
        single=full.single // 3,
        many=full.many // part,
        paces=max(full.paces // 3, 4),
        waits=full.waits if name in QUICK_10_000 else full.waits[:1],
        seconds=15,
    )
