"""The surgeon: finds where a database differs from the declared schema, and repairs what only adds.

A schema is a set of facts, rows of text that one query reads from the catalogues (`facts`). The
declared ones are in `declared.json`, made by `scripts/declare_schema` from a database that was just
migrated. Both sides are compared (`findings`); for each difference there is a statement that
makes, changes or removes the fact (`statements`). What only adds is done, in one transaction and
under the lock of migrations; what Postgres then refuses because of the rows, and what would lose
or reinterpret something, is refused with that statement and the reason (`operation`).
"""

from state.surgeon.findings import Finding
from state.surgeon.operation import Report, examine, operate
from state.surgeon.reports import PastReport, past_reports, standing

__all__ = [
    "Finding",
    "PastReport",
    "Report",
    "examine",
    "operate",
    "past_reports",
    "standing",
]
