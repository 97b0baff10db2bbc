"""What can go wrong on the host, as one tree (all are RuntimeFaults: one line, exit code 1).

HostFault
  ServerFailed      a program of ours does not start; carries its last words
  AlreadyRunning    another supervisor has this state folder
"""

from runtime.errors import RuntimeFault


class HostFault(RuntimeFault):
    """This machine does not let us do what is needed."""


class ServerFailed(HostFault):
    """A program of ours does not start."""


class AlreadyRunning(HostFault):
    """Another supervisor has this state folder."""
