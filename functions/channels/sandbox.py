"""The simulated phone: it accepts at once, and the message is delivered where it is stored."""

from typing import ClassVar

from functions.channels.channel import Accepted, Outcome, Outgoing


class Sandbox:
    """A shop's simulated phone."""

    repeatable: ClassVar[bool] = True

    async def send(self, outgoing: Outgoing) -> Outcome:
        """Take the message; its id is made from the attempt's, so that twice is once."""
        return Accepted(f"wamid.sandbox.{outgoing.attempt}", state="delivered")
