"""`usage-tracker demo`: what usage_tracker does, shown on real calls of a real SDK."""

import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

import usage_tracker
from usage_tracker.cli.output import emit
from usage_tracker.cli.report import report
from usage_tracker.demo.standin import StandIn
from usage_tracker.dsn import file_address

FLUSH_SECONDS = 30.0


@click.command(
    help="""Make a few dozen calls with the openai SDK and show the report on them.

    The calls go to a stand-in provider on this machine: nothing leaves it, nothing is billed, no key is needed. The
    events go to an SQLite file of their own, never to your store; it stays, so that you can go on asking.
    """
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the events are kept; unset: a new temporary folder.",
)
def demo(folder: Path | None) -> None:
    if find_spec("openai") is None:
        raise click.ClickException("the demo calls a provider with the openai SDK: pip install openai")
    with kept_if_told(folder) as place:
        tell_story(place)


@contextmanager
def kept_if_told(folder: Path | None) -> Iterator[Path]:
    """The folder or, without one, a temporary one, which stays only where the story came to its end."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
        return
    folder = Path(tempfile.mkdtemp(prefix="usage-tracker-demo-"))
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def tell_story(folder: Path) -> None:
    dsn = file_address(f"{folder.resolve()}/usage.db")
    with own_environment(), StandIn() as provider:
        tell(f"A stand-in for OpenAI's API answers at {provider.base_url}.\nYour program's part:\n")
        tell(f'    usage_tracker.install(dsn="{dsn}")\n')
        make_calls(provider, dsn, folder / "spool")
        for by in ("model", "project"):
            show_report(dsn, by)
    what_stays, to_remove = what_is_left(folder)
    command, python = how_called()
    store = shlex.quote(dsn)
    tell(
        f"""
Go on with:
    {command} report --dsn {store} --by team,operation
    {command} events --dsn {store} --limit 5
    {command} prices unpriced --dsn {store}
    {command} report --help
Record the calls of your own program, into a store of its own:
    {command} run -- {python} app.py
    {command} report
{what_stays}
    rm -r {to_remove}"""
    )


def what_is_left(folder: Path) -> tuple[str, str]:
    """What stays, and what to remove: nothing of the user's own, where they named a folder that has more in it."""
    ours = [path for path in sorted(folder.iterdir()) if path.name == "spool" or path.name.startswith("usage.db")]
    if len(ours) == len(list(folder.iterdir())):
        return "The demo's events stay in a folder of their own. To take it away:", shlex.quote(str(folder))
    return "The demo's events stay in that folder. To take them away:", shlex.join(map(str, ours))


def tell(text: str) -> None:
    """The story is what the command is asked for, as much as the reports in it."""
    emit([f"{text}\n"])


def make_calls(provider: StandIn, dsn: str, spool: Path) -> None:
    """Tell the story with every call recorded. Raises ClickException where not all arrive in the store."""
    # the stand-in is not at OpenAI's address, by which a provider is known to send a stream's usage when asked
    usage_tracker.install(dsn=dsn, spool_dir=str(spool), app="demo", stream_usage="always")
    try:
        from usage_tracker.demo import story

        if not story.can_be_told():
            raise click.ClickException("the demo uses the Responses API: pip install --upgrade openai")
        for chapter in story.tell(provider):
            tell(f"{chapter.calls:4} {chapter.sentence}")
        arrived = usage_tracker.flush(timeout=FLUSH_SECONDS)
        counts = usage_tracker.stats()
    finally:
        usage_tracker.uninstall()
    if not arrived:
        raise click.ClickException(f"{counts.pending} of {counts.captured} events did not reach {dsn}")
    tell(f"{counts.captured:4} calls captured, {counts.stored} stored")


def how_called() -> tuple[str, str]:
    """What to type to get here again, and to this interpreter: whole paths, where the virtual environment is not
    active."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return "python -m usage_tracker", "python"
    found = shutil.which("usage-tracker")
    if found is not None and script.exists() and script.samefile(found):
        return "usage-tracker", "python"
    return str(script), str(script.with_name("python"))


def show_report(dsn: str, by: str) -> None:
    """What the command that it names would show."""
    tell(f"\n$ usage-tracker report --by {by}")
    program = click.Context(click.get_current_context().find_root().command, info_name="usage-tracker")
    report.main(["--dsn", dsn, "--by", by], prog_name="report", standalone_mode=False, parent=program)


FOREIGN = ("TRACKER_", "OPENAI_", "AZURE_OPENAI_", "OTEL_", "SSL_CERT_")


@contextmanager
def own_environment() -> Iterator[None]:
    """Nothing of the user's settings has a say in the demo, and no proxy stands between it and this machine."""
    before = dict(os.environ)
    for name in before:
        # an SDK wants to be able to use what they name, also where it has no need of it
        if name.startswith(FOREIGN) or name.lower().endswith("_proxy"):
            del os.environ[name]
    os.environ["TRACKER_CONFIG"] = os.devnull
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
