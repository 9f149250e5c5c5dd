"""Commands that a command names for what to do next: about the same store and price book that it was told of itself."""

import re
import shlex

import click
from click.core import ParameterSource

from usage_tracker.dsn import Dsn

TOLD = "usage_tracker.told"
"""Where a context has the options that are repeated, as they are typed."""
NAMED = re.compile(r"\busage-tracker((?: [a-z][a-z-]*)+)")
TO_FILL_IN = "…"


def tell_store(ctx: click.Context, option: click.Parameter, dsn: Dsn) -> None:
    """Repeat the store of a command line in its hints; without its address, where that holds a secret."""
    tell(ctx, option, typed(dsn))


def tell_other_store(dsn: Dsn) -> None:
    """Hints are about that store, which is asked instead of the one of --dsn."""
    click.get_current_context().meta.setdefault(TOLD, {})["--dsn"] = shown(typed(dsn))


def tell(ctx: click.Context, option: click.Parameter, value: str) -> None:
    """Repeat an option in hints, where it is on the command line: what variables say holds for them anyway."""
    if is_typed(ctx, option):
        ctx.meta.setdefault(TOLD, {})[option.opts[0]] = shown(value)


def is_typed(ctx: click.Context, option: click.Parameter) -> bool:
    return ctx.get_parameter_source(option.name) is ParameterSource.COMMANDLINE


def typed(dsn: Dsn) -> str:
    return TO_FILL_IN if dsn.has_secret else dsn.setting


def shown(value: str) -> str:
    return value if value == TO_FILL_IN else shlex.quote(value)


def repeating(text: str) -> str:
    """The text, and in each command that it names the options that this one was told."""
    ctx = click.get_current_context(silent=True)
    told: dict[str, str] = ctx.meta.get(TOLD, {}) if ctx is not None else {}
    if ctx is None or not told:
        return text
    return NAMED.sub(lambda named: repeat(ctx, named[0].split(" "), told), text)


def repeat(ctx: click.Context, named: list[str], told: dict[str, str]) -> str:
    """That command with those of the options that it takes, right after its name."""
    command = ctx.find_root().command
    program, *words = named
    name = [program]
    while words and isinstance(command, click.Group) and (found := command.get_command(ctx, words[0])) is not None:
        command = found
        name.append(words.pop(0))
    taken = {option for parameter in command.params for option in parameter.opts}
    return " ".join([*name, *(f"{option} {value}" for option, value in told.items() if option in taken), *words])
