"""What it means where Postgres, or the way to it, fails: its codes and libpq's words as our errors."""

import re

import psycopg2

from usage_tracker.dsn import Dsn
from usage_tracker.errors import EventsRefused, RightsError, SchemaError, StoreError, StoreUnavailable


def translated(error: psycopg2.Error, dsn: Dsn) -> StoreError:
    """Our error for one of psycopg2's, by SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html.

    A server's own words may repeat values of events, so they are left out.
    """
    code: str | None = error.pgcode
    if code is None:
        return StoreUnavailable(f"Postgres at {dsn.shown} can't be reached (the connection was lost)")
    what = f"{type(error).__name__}, SQLSTATE {code}"
    if code == "42501":
        return RightsError(
            f"this role may not do that at {dsn.shown} ({what}); run `usage-tracker migrate` as the schema's owner and "
            "grant this role what it needs: `usage-tracker migrate --print-grants` prints it"
        )
    if code.startswith(("42", "3F")):
        return SchemaError(
            f"the schema at {dsn.shown} is missing or not of this version ({what}); run `usage-tracker migrate`"
        )
    if code == "23505":  # what events bring is looked up before, so this is a number that was given out twice
        return StoreUnavailable(
            f"sequences at {dsn.shown} are behind their tables ({what}), as after a copy by logical replication; "
            "docs/upgrading.md has what sets them"
        )
    if code == "23514" and error.diag.constraint_name is None:  # the bounds of a partition, or there is none
        if error.diag.table_name == "usage_event":
            return StoreUnavailable(
                f"no partition at {dsn.shown} takes events of some month ({what}); attach a default one to "
                "usage_tracker.usage_event again"
            )
        return StoreUnavailable(f"a month got its partition at {dsn.shown} just then ({what})")
    if code.startswith(("21", "22", "23", "54")) and code != "2200H":
        column = re.search(r"\bcolumn (\w+)", str(error))
        where = f" in {column[1]}" if column else ""
        return EventsRefused(f"Postgres refuses a value{where} ({what}); the event can't be stored")
    if code == "0A000":  # a word on the schema that somebody has changed, not on values
        return StoreUnavailable(f"Postgres at {dsn.shown} can't do it: {error.diag.message_primary} ({what})")
    trouble = TROUBLES.get(code, "can't work right now")
    return StoreUnavailable(f"Postgres at {dsn.shown} {trouble} ({what})")


TROUBLES = {
    "25006": (
        "only reads, as a replica does; where the address names several hosts, target_session_attrs=read-write in it "
        "finds the primary"
    ),
    "40001": (  # nothing of ours is serializable
        "stopped to read what its primary has changed meanwhile, as a replica does; ask again, or set "
        "hot_standby_feedback to on there"
    ),
    "57014": "took too long, or was told to stop",
}
"""What it is about Postgres, by SQLSTATE."""


REMEDIES = {
    "Connection refused": ": no server listens there",
    "database … does not exist": ": `createdb` makes one, as a role that may",
    "role … does not exist": ": `createuser` makes one, as a role that may",
    "root certificate file … does not exist": (
        ": sslrootcert=… names that of the authority, sslrootcert=system all that this machine trusts"
    ),
    "SSL error: certificate verify failed": ": it has expired, or is signed by none of those in sslrootcert",
    "fe_sendauth: no password supplied": ": put it into the address, PGPASSWORD or a PGPASSFILE that nobody else reads",
}
"""What else to say to libpq's words."""


def unreachable(words: str) -> str:
    """Why no connection was made, in libpq's words: for each server that was tried, the first of its reasons. Names in
    quotes are left out: a badly escaped password is one."""
    reasons: dict[str, str] = {}
    for line in words.splitlines():
        server, failed, _ = line.partition(" failed: ")
        if line.startswith("could not translate"):
            reasons[line] = "its host name is unknown"
        elif failed or not reasons:  # the address itself, or a file that it names, can't be used, and nothing was tried
            said = re.sub(r'"[^"]*"?', "…", line.rpartition(" failed: ")[2]).strip().removeprefix("FATAL:").strip()
            reasons.setdefault(server, f"{said}{REMEDIES.get(said, '')}")
    return "; ".join(dict.fromkeys(reasons.values()))
