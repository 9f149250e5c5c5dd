"""What happens to an app process at a named place of our code: it is killed there, stopped, or slowed down.

A trap is set from outside by the variable FAULT_TRAPS, and only in processes of this bench: nothing of it is in the
package.
"""

import functools
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Literal, NamedTuple

VARIABLE = "FAULT_TRAPS"


class Trap(NamedTuple):
    """One place and what happens there."""

    at: str
    """`package.module:function` or `package.module:Class.function`, by the name under which callers find it."""
    on: int = 1
    """At which of its calls."""
    every: bool = False
    """And at each one after that."""
    after: bool = False
    """Once the call has returned, instead of before it."""
    act: Literal["kill", "freeze", "sleep"] = "kill"
    seconds: float = 0.0


class Constants(NamedTuple):
    """Constants of ours that are other ones in this process, such as sizes, by `package.module:NAME`."""

    values: Mapping[str, float]


def to_variable(traps: tuple[Trap | Constants, ...]) -> dict[str, str]:
    return {VARIABLE: json.dumps([{"kind": type(trap).__name__, **trap._asdict()} for trap in traps])}


def set_traps() -> None:
    """In the process that they are meant for."""
    for asked in json.loads(os.environ.get(VARIABLE, "[]")):
        kind = asked.pop("kind")
        if kind == Trap.__name__:
            set_trap(Trap(**asked))
        else:
            for name, value in asked["values"].items():
                owner, key = owner_and_name(name)
                if isinstance(owner, dict):
                    owner[key] = value
                else:
                    setattr(owner, key, value)


def set_trap(trap: Trap) -> None:
    owner, name = owner_and_name(trap.at)
    original: Callable[..., Any] = getattr(owner, name)
    calls = 0

    @functools.wraps(original)
    def trapped(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        due = calls == trap.on or (trap.every and calls > trap.on)
        if due and not trap.after:
            spring(trap)
        result = original(*arguments, **named)
        if due and trap.after:
            spring(trap)
        return result

    setattr(owner, name, trapped)


def owner_and_name(at: str) -> tuple[Any, str]:
    module, _, path = at.partition(":")
    *owners, name = path.split(".")
    return functools.reduce(getattr, owners, import_module(module)), name


def spring(trap: Trap) -> None:
    if trap.act == "sleep":
        time.sleep(trap.seconds)
    else:
        os.kill(os.getpid(), signal.SIGKILL if trap.act == "kill" else signal.SIGSTOP)
