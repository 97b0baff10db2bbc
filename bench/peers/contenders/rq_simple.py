# /// script
# dependencies = ["rq==3.0.0", "redis==8.1.0", "hiredis==3.5.0"]
# ///
"""rq, SimpleWorker: jobs one after another in the worker's own process. Else as `rq_worker`."""

from rq import SimpleWorker

from bench.peers.contenders.rq_worker import queue, sender
from bench.peers.shape import main


def work(_: int) -> None:
    """Run `rq.SimpleWorker`."""
    found = queue()
    SimpleWorker([found], connection=found.connection).work(logging_level="WARNING")


if __name__ == "__main__":
    main(work, sender)
