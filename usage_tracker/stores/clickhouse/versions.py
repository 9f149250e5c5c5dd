"""In what ClickHouse's versions differ for us. Nothing else of the package asks for a version.

Tested are 18.16, the oldest that can be had as a package, and 26.
"""

from typing import NamedTuple

OLDEST = (18, 16)
TOKENS = (22, 2)
"""From here on a block has a name of our own, and plain tables drop repeated blocks as well."""
MICROSECONDS = (20, 8)
"""From here on there is a DateTime64."""

WINDOW = 10_000
"""How many blocks a table remembers: repeated ones are dropped. A block is sent again within seconds."""


class Version(NamedTuple):
    """What a server can do."""

    major: int
    minor: int

    @classmethod
    def of(cls, said: str) -> "Version":
        """Of what `SELECT version()` says."""
        major, minor = (int(part) for part in said.split(".")[:2])
        return cls(major, minor)

    def problem(self, *, replicated: bool) -> str | None:
        """Why events can't be kept exactly once in tables of that kind; None: they can."""
        if self < OLDEST:
            return f"ClickHouse {self.major}.{self.minor} is too old; 18.16 is the oldest that works"
        if self < TOKENS and not replicated:
            return (
                f"ClickHouse {self.major}.{self.minor} drops a repeated block only in replicated tables, so that "
                "events could count twice; name the cluster (?cluster=…) or use version 22.2 or newer"
            )
        return None

    def insert_settings(self, token: str) -> dict[str, str]:
        """So that a block arrives whole, at once, and once. Without tokens a block is known by its content, which is
        why the very same bytes are sent again."""
        if self < TOKENS:
            return {"max_insert_block_size": "100000000"}
        return {
            "insert_deduplicate": "1",
            "insert_deduplication_token": token,
            "async_insert": "0",
            "max_insert_block_size": "100000000",
        }

    def instant(self, column: str) -> str:
        """Microseconds since 1970 as a time for people."""
        if self < MICROSECONDS:
            return f"toDateTime(intDiv({column}, 1000000), 'UTC')"
        return f"fromUnixTimestamp64Micro({column}, 'UTC')"

    def window(self, *, replicated: bool) -> str:
        """The setting of a table that drops repeated blocks."""
        return f"{'' if replicated else 'non_'}replicated_deduplication_window = {WINDOW}"
