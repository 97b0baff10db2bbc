"""What a back-up says of itself: its last member, `manifest.json`."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

FORMAT = 1


class BackupUnusable(Exception):
    """A back-up cannot be written, read or restored; the message says why, and what to do."""


@dataclass(frozen=True)
class Member:
    """One member of the file, by what it must hold."""

    name: str
    """`tables/message`, or `files/media/…`."""
    size_bytes: int
    """Of what it holds, before it was compressed."""
    sha256: str


@dataclass(frozen=True)
class Table:
    """The rows of one table."""

    name: str
    columns: list[str]
    rows: int


@dataclass(frozen=True)
class Manifest:
    """What a back-up holds."""

    format: int
    version: str
    """Of the Nexus that made it."""
    made_at: str
    """When its snapshot was taken, in ISO 8601."""
    migrations: dict[str, str]
    """Of its schema: names and checksums."""
    tables: list[Table]
    """In an order in which they can be filled: whoever is referred to comes first."""
    sequences: dict[str, int]
    """Their last values."""
    keys: dict[str, int]
    """Ids of the keys that its credentials need, and how many need each. Never the keys."""
    members: list[Member] = field(repr=False)

    @property
    def snapshot_at(self) -> datetime:
        """When its snapshot was taken."""
        return datetime.fromisoformat(self.made_at)

    def rows(self, table: str) -> int:
        """Return how many rows of a table it holds."""
        return sum(one.rows for one in self.tables if one.name == table)

    def text(self) -> str:
        """Return it as it is stored."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False)

    @classmethod
    def parse(cls, text: bytes) -> "Manifest":
        """Read it.

        Raises:
            BackupUnusable: it is no manifest, or of a form that we do not know.
        """
        try:
            found: dict[str, Any] = json.loads(text)
            if found["format"] != FORMAT:
                raise BackupUnusable(
                    f"it has form {found['format']}, and this Nexus reads form {FORMAT}: restore"
                    f" it with Nexus {found.get('version')} or newer"
                )
            tables = [Table(**one) for one in found.pop("tables")]
            members = [Member(**one) for one in found.pop("members")]
            manifest = cls(tables=tables, members=members, **found)
            _ = manifest.snapshot_at
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BackupUnusable(
                f"its manifest cannot be read ({type(error).__name__}): it is damaged, or no"
                " back-up of Nexus"
            ) from None
        return manifest
