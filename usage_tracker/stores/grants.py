"""What roles in Postgres need, each for its own work and nothing else."""

from importlib.resources import files

FILES = {
    "writer": ("grant_writer",),
    "shipper": ("grant_writer", "grant_shipper"),
    "reader": ("grant_reader",),
    "exporter": ("grant_reader", "grant_exporter"),
    "feeder": ("grant_reader", "grant_feeder"),
}
"""The kinds of roles, and the files of usage_tracker/stores/sql/postgres that say what they need."""


def grants(kind: str, role: str) -> str:
    """SQL that lets the role do its work. For the schema's owner to run, again after each migration."""
    folder = files("usage_tracker.stores") / "sql" / "postgres"
    quoted = '"{}"'.format(role.replace('"', '""'))
    return "\n".join(
        (folder / f"{name}.sql").read_text(encoding="utf-8").replace(':"role"', quoted) for name in FILES[kind]
    )
