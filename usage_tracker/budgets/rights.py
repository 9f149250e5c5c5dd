"""What a role in the store must be allowed so that it can hold calls to budgets: to read what was spent."""

from usage_tracker.stores import Store


def role_of(store: Store) -> str:
    """Who we are there. Raises StoreError."""
    [(role,)] = store.select("SELECT current_user")
    return str(role)


def lacking(role: str) -> str:
    """That the role may not, for people, with the remedy."""
    return f"the role {role!r} may not read what was spent: {remedy(role)}"


def remedy(role: str) -> str:
    quoted = '"{}"'.format(role.replace('"', '""'))
    return f"let the schema's owner run `GRANT SELECT ON ALL TABLES IN SCHEMA usage_tracker TO {quoted}`"
