"""Numbers that a new sequence must not give out again.

A table or sequence that was lost comes back empty; rows elsewhere still mean the old numbers. A new
contact 1 must not inherit the conversations of the old one, nor a new worker its work.
"""

import re

from state.surgeon.facts import Schema

REFERENCE = re.compile(r"FOREIGN KEY \((\w+)\) REFERENCES (\w+)\((\w+)\)")

INVOCATIONS = (
    *(("invocation", "id"), ("work", "id"), ("outcome", "id"), ("once", "id"), ("step", "id")),
    *(("failure", "id"), ("turn", "turn_id"), ("message", "turn")),
)
# Those that no foreign key tells of: hot tables, and what outlives its cause.
UNTOLD = {
    ("function", "fn"): (("invocation", "fn"), ("work", "fn"), ("lane", "fn"), ("schedule", "fn")),
    ("worker", "worker_id"): (("work", "worker"), ("lane", "worker"), ("cancellation", "worker")),
    ("conversation", "conversation_id"): (("turn", "conversation_id"),),
    ("delivery", "delivery_id"): (("oddity", "delivery_id"),),
}


def used_in(kind: str, place: str, name: str, declared: Schema) -> list[tuple[str, str]]:
    """Return the columns (table, column) that hold numbers of a sequence or a numbered column."""
    if kind == "sequence":
        return list(INVOCATIONS) if name == "invocation_id" else []
    told = [
        (fact.place, match[1])
        for fact in declared.values()
        if fact.kind == "reference"
        and (match := REFERENCE.match(fact.says))
        and (match[2], match[3]) == (place, name)
    ]
    return [(place, name), *told, *UNTOLD.get((place, name), ())]
