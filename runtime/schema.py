"""What each process does about the schema when it starts: repair what only adds, tell the rest."""

from runtime.errors import ConfigurationError
from runtime.logs import Log
from state import surgeon
from state.errors import StatementFailed
from state.surgeon import Report


async def mend(dsn: str, log: Log, *, needed: bool = True) -> Report:
    """Let the surgeon look, and log what was found. Safe to run twice, and at once anywhere.

    Args:
        dsn: address of Postgres.
        log: of this process.
        needed: whether the process is of no use when the engine lacks a part of its own.

    Raises:
        DatabaseAway: Postgres does not answer.
        ConfigurationError: `needed`, and that is so.
    """
    try:
        report = await surgeon.operate(dsn)
    except StatementFailed as error:  # a login user that may not even read; or nothing fits
        log.error("the schema could not be repaired; nothing was changed", error=str(error))
        return Report(skipped=str(error))
    if report.missing:
        log.warning("the schema is behind; run ./nexus migrate", missing=len(report.missing))
    elif report.skipped:
        log.warning("the schema was not compared", why=report.skipped)
    for finding in report.of("repaired"):
        log.warning("the schema was repaired", what=finding.what)
    for finding in report.of("refused"):
        log.error(
            "the schema differs and was not repaired; run nexus doctor",
            what=finding.what,
            why=finding.reason,
        )
    stopping = [finding.what for finding in report.findings if finding.stops]
    if stopping and needed:
        raise ConfigurationError(
            f"the engine cannot work: {'; '.join(stopping)}; see: nexus doctor"
        )
    return report
