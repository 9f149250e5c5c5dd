"""Whatever is installed with us may be used in any program: no licence asks that the program be given away."""

import re
from importlib import metadata

from packaging.requirements import Requirement

NAME = "usage-tracker-llm"
NOT_FOR_USERS = re.compile("dev|tests|spark")
"""Extras that nobody installs beside a program, and PySpark, which is too large to be installed for this: it is under
Apache-2.0."""
FREE = re.compile(r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|0BSD|MPL|Mozilla")
LINKED = {"psycopg2-binary": "LGPL"}
"""May be used by any program that leaves them as they are."""


def licence_of(found: metadata.Distribution) -> str:
    """As its newest field says, or its older ones."""
    said = {name: found.metadata.get_all(name) or [] for name in ("License-Expression", "Classifier", "License")}
    kinds = [kind for kind in said["Classifier"] if kind.startswith("License ::")]
    return " ".join(said["License-Expression"] or kinds or [text.partition("\n")[0] for text in said["License"]])


def needed(extra: str) -> set[str]:
    """The names of all that is installed with that extra."""
    found: set[str] = set()
    todo = [(NAME, {extra})]
    while todo:
        name, extras = todo.pop()
        for line in metadata.distribution(name).requires or ():
            asked = Requirement(line)
            wanted = asked.marker is None or any(asked.marker.evaluate({"extra": one}) for one in extras | {""})
            if wanted and asked.name not in found:
                found.add(asked.name)
                todo.append((asked.name, asked.extras))
    return found - {NAME}


def test_every_dependency_may_be_used_in_any_program() -> None:
    extras = [each for each in metadata.metadata(NAME).get_all("Provides-Extra") or [] if not NOT_FOR_USERS.match(each)]
    names = set().union(*(needed(extra) for extra in ["", *extras]))
    assert {"wrapt", "msgspec", "starlette"} <= names
    licences = {name: licence_of(metadata.distribution(name)) for name in names}
    barred = {
        name: licence for name, licence in licences.items() if not re.search(LINKED.get(name, FREE.pattern), licence)
    }
    assert barred == {}
    assert not any("GPL" in licence for name, licence in licences.items() if name not in LINKED)
