"""`usage-tracker run`: a Python program with its calls recorded, without a line in it."""

import os
import re
from pathlib import Path

import click

BOOTSTRAP = Path(__file__).parent / "bootstrap"
ALONE = ("elasticapm-run", "opentelemetry-instrument")
"""Who puts a `sitecustomize` of its own before ours, and looks for no other."""


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    help="""Run a program with its calls recorded, as if its first line were `import usage_tracker.auto`.

    \b
    usage-tracker run -- python app.py
    usage-tracker run -- gunicorn app:app

    The Python processes that it starts are recorded too. The program takes this process's place: its exit code, signals
    and output are its own. The interpreter must be one that usage_tracker is installed for, and heed its environment,
    which it doesn't with -I, -E or -S.
    """,
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    if (why := why_not_heeded(command)) is not None:
        click.echo(f"usage-tracker: calls are not recorded: {why}", err=True)
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *([path] if path else [])])
    try:
        os.execvp(command[0], command)  # noqa: S606  running what the user typed is the purpose
    except OSError as error:
        instead = f"; say `usage-tracker run -- python {command[0]}`" if command[0].endswith(".py") else ""
        raise click.ClickException(f"{command[0]} can't be run: {error.strerror}{instead}") from None


def why_not_heeded(command: tuple[str, ...]) -> str | None:
    """Why the program will not start with us, where its command tells, and what helps."""
    starter = Path(command[0]).name
    if starter in ALONE:
        return f"{starter} starts a program with itself alone; say `{starter} usage-tracker run -- …`"
    if (flag := deaf(command)) is not None:
        return f"with {flag}, Python ignores what `run` sets; make `import usage_tracker.auto` the program's first line"
    if any(word.endswith(".pex") for word in command[:2]):  # it starts Python anew, with -I
        return (
            "a PEX ignores what `run` sets; pack us with it, and let its program begin with `import usage_tracker.auto`"
        )
    return None


def deaf(command: tuple[str, ...]) -> str | None:
    """The option by which Python ignores variables, or modules that customize it."""
    program, *words = command
    if not re.fullmatch(r"python[\d.]*", Path(program).name):
        return None
    given = iter(words)
    for word in given:
        if re.match(r"-[^-cmWX]*[IES]", word):
            return word
        if not word.startswith("-") or re.match(r"-[^-WX]*[cm]", word):  # from here on, words are the program's
            return None
        if re.fullmatch(r"-[^-WX]*[WX]", word):
            next(given, None)  # its value
    return None
