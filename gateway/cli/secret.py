"""How commands get a secret: from a file, a prompt, or standard input; never from the words typed.

What is typed behind a command is seen by everybody who may list processes.
"""

import getpass
import sys
from pathlib import Path

from gateway.cli.command import WrongUsage


def read_secret(what: str, file: str | None) -> str:
    """Return a secret.

    Args:
        what: shown at the prompt.
        file: its file; None: ask, or read standard input when nobody sits there.

    Raises:
        WrongUsage: there is none.
    """
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except OSError as error:
            raise WrongUsage(f"{file}: {error.strerror}") from None
    elif sys.stdin.isatty():
        text = getpass.getpass(f"{what}: ")
    else:
        text = sys.stdin.readline()
    if not text.strip():
        raise WrongUsage(f"the {what} is empty")
    return text.strip()
