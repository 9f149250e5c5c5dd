"""`usage-tracker run`: a Python program with its calls recorded, without a line in it."""

import os
from pathlib import Path

import click

BOOTSTRAP = Path(__file__).parent / "bootstrap"


@click.command(
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    help="""Run a program with its calls recorded, as if its first line were `import usage_tracker.auto`.

    \b
    usage-tracker run -- python app.py
    usage-tracker run -- gunicorn app:app

    The Python processes that it starts are recorded too. The program takes this process's place: its exit code, signals
    and output are its own. The interpreter must be one that usage_tracker is installed for.
    """,
)
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(command: tuple[str, ...]) -> None:
    path = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(BOOTSTRAP), *([path] if path else [])])
    try:
        os.execvp(command[0], command)  # noqa: S606  running what the user typed is the purpose
    except OSError as error:
        instead = f"; say `usage-tracker run -- python {command[0]}`" if command[0].endswith(".py") else ""
        raise click.ClickException(f"{command[0]} can't be run: {error.strerror}{instead}") from None
