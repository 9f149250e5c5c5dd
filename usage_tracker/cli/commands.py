"""The commands by name, each imported when it is used, and what is the same for all: help, errors, exit codes.

Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 over budget, 4 a store that can't be used, 5 doctor found a
problem, 6 a provider's figures are apart from ours, 130 interrupted.
"""

import difflib
import os
import traceback
from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple, cast

import click
from click.shell_completion import CompletionItem

from usage_tracker.cli.streams import let_go_of_unwritten, open_closed_streams, show_all_signs
from usage_tracker.errors import StoreError, UsageTrackerError


class Place(NamedTuple):
    """Where a command is, and its line in the list of commands."""

    module: str
    attribute: str
    summary: str


COMMANDS: dict[str, Place] = {
    "demo": Place(
        "usage_tracker.cli.demo", "demo", "Real calls of an SDK to a local stand-in, and the report on them."
    ),
    "run": Place("usage_tracker.cli.run", "run", "Run a Python program with its calls recorded."),
    "report": Place("usage_tracker.cli.report", "report", "Who used what, and what it cost."),
    "daily": Place("usage_tracker.cli.report", "daily", "What was used on each of the last 30 days."),
    "weekly": Place("usage_tracker.cli.report", "weekly", "What was used in each of the last 12 weeks."),
    "monthly": Place("usage_tracker.cli.report", "monthly", "What was used in each month of the last year."),
    "top": Place("usage_tracker.cli.report", "top", "Who spends most today."),
    "watch": Place("usage_tracker.cli.watch", "watch", "What is being spent now, until interrupted."),
    "events": Place("usage_tracker.cli.events", "events", "The calls one by one, the newest first."),
    "export": Place("usage_tracker.cli.export", "export", "Every call with every column, for other programs."),
    "query": Place("usage_tracker.cli.query", "query", "Ask the store in SQL."),
    "serve": Place("usage_tracker.web.command", "serve", "The dashboard, and the same figures for programs."),
    "prices": Place("usage_tracker.cli.prices", "prices", "What models cost, and prices of your own."),
    "reprice": Place("usage_tracker.cli.reprice", "reprice", "Price stored calls again, at prices of their own time."),
    "budget": Place("usage_tracker.cli.budgets", "budget", "What may be spent, by whom, and what happens then."),
    "reconcile": Place("usage_tracker.cli.reconcile", "reconcile", "A provider's own figures beside ours."),
    "import": Place("usage_tracker.cli.importing", "group", "Bring in what LiteLLM and others have recorded."),
    "prune": Place("usage_tracker.cli.prune", "prune", "Take old events out of the store; their sums stay."),
    "init": Place("usage_tracker.cli.init", "init", "Set up the store and your names, and write them down."),
    "doctor": Place("usage_tracker.cli.doctor", "doctor", "Find what is wrong, and how to mend it."),
    "ship": Place("usage_tracker.cli.ship", "ship", "Move events from the journal to the store."),
    "sinks": Place("usage_tracker.cli.sinks", "sinks", "Where calls are passed on to as they come, and how far."),
    "migrate": Place("usage_tracker.cli.migrate", "migrate", "Bring the store's schema up to date."),
    "completion": Place("usage_tracker.cli.completion", "completion", "What a shell needs to complete all this."),
}

HELP = """Records what every call to a language model used and cost, in your own database.

\b
Type first:
  usage-tracker demo                    a few calls to a local stand-in, and the report on them
  usage-tracker init                    choose the store, in a minute; without it, an SQLite file of yours is one
  usage-tracker run -- python app.py    record the calls of your program as it is
  usage-tracker                         today, this month, the last 30 days
  usage-tracker report                  the month to date by model

\b
Examples:
  usage-tracker report --by project,model --since last-month --until last-month
  usage-tracker report --by day --since 7d --where app=web --where 'model!=gpt-*' -o csv
  usage-tracker events --where status=error --limit 5

\b
Environment:
  TRACKER_DSN        the store: postgresql://user@host/database or sqlite:////path/usage.db;
                     unset: an SQLite file in your user's data folder
  TRACKER_TZ         the time zone of reports, such as Europe/Berlin; unset: UTC
  TRACKER_PRICES     a price book, a TOML file; unset: that of the store, if it has one
  TRACKER_APP, TRACKER_PROJECT, TRACKER_TEAM, TRACKER_USER, TRACKER_TAGS
                     who the calls of a program are for
  TRACKER_CONFIG     a config file, as `usage-tracker init` writes it; unset: config.toml in your config folder
  NO_COLOR           no colours in tables; FORCE_COLOR: also where they don't go to a terminal
  COLUMNS            how wide tables are; unset: as the terminal, and as wide as they need to be elsewhere

Data goes to stdout, all else to stderr. Exit codes: 0 done, 1 an error, 2 a wrong command line, 3 over budget, 4 a
store that can't be used, 5 doctor found a problem, 6 a provider's figures are apart from ours, 130 interrupted."""


SAME = {"remove": ("rm",), "delete": ("rm",), "add": ("set",), "ls": ("list",), "dashboard": ("serve",)}
"""What commands are called elsewhere, and here."""


class Failure(click.ClickException):
    """An error of ours, shown as its sentence."""

    exit_code = 1


class StoreFailure(Failure):
    """The store can't be reached, or is not as it should be."""

    exit_code = 4


def unwritten(error: OSError) -> Failure:
    return Failure(f"{error.filename or 'a file or stream'} can't be used: {error.strerror or error}")


def failure_of(error: UsageTrackerError | OSError | UnicodeEncodeError) -> Failure:
    if isinstance(error, OSError):
        return unwritten(error)
    if isinstance(error, UnicodeEncodeError):  # where a terminal has another encoding; all of it may have a password
        return Failure(f"what was typed or set has {error.object[error.start : error.end]!a}, which is no UTF-8")
    return (StoreFailure if isinstance(error, StoreError) else Failure)(str(error))


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called. None is imported to list them."""

    def __init__(self, *args: Any, places: Mapping[str, Place], **options: Any) -> None:
        super().__init__(*args, **options)
        self.places = places

    def main(self, *args: Any, **options: Any) -> Any:
        open_closed_streams()
        try:
            return super().main(*args, **options)
        finally:
            let_go_of_unwritten()

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """As click does it; where --help or --version can't be written, that is a sentence as well."""
        show_all_signs()
        try:
            return super().make_context(info_name, args, parent, **extra)
        except BrokenPipeError:
            raise  # which click knows what to do about
        except OSError as error:
            raise unwritten(error) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.places)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = self.places.get(cmd_name)
        if place is None:
            return None
        command = cast(click.Command, getattr(import_module(place.module), place.attribute))
        if not any(option.name == DEBUG.name for option in command.params):
            command.params.append(DEBUG)
        if ctx.resilient_parsing:  # a shell asks what can be typed next
            from usage_tracker.cli.completion import complete_values

            complete_values(command)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """As click does it, without importing each command."""
        found = [
            CompletionItem(name, help=place.summary)
            for name, place in self.places.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, place.summary) for name, place in self.places.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in self.places and not args[0].startswith("-") and not ctx.resilient_parsing:
            near = [name for name in SAME.get(args[0], ()) if name in self.places]
            near += difflib.get_close_matches(args[0], self.places, 1)
            meant = f"did you mean {near[0]}?" if near else f"there are: {', '.join(self.places)}."
            raise click.UsageError(f"{args[0]!r} is not a command; {meant}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return self.invoke_command(ctx)
        except click.ClickException as error:
            if ctx.parent is None:
                from usage_tracker.cli.hints import repeating

                error.message = repeating(error.message)  # type: ignore[misc]  # it is only declared to be final
            raise

    def invoke_command(self, ctx: click.Context) -> Any:
        """Raises ClickException and Exit, whatever has happened."""
        try:
            return super().invoke(ctx)
        except (UsageTrackerError, OSError, UnicodeEncodeError) as error:
            if ctx.meta.get(DEBUG_KEY):
                click.echo(traceback.format_exc(), err=True, nl=False)
            raise failure_of(error) from error
        except (KeyboardInterrupt, click.Abort):
            raise click.exceptions.Exit(130) from None


DEBUG_KEY = "usage_tracker.debug"


def remember_debug(ctx: click.Context, _: click.Parameter, chosen: bool) -> None:
    if chosen:
        ctx.meta[DEBUG_KEY] = True


DEBUG = click.Option(
    ["--debug"], is_flag=True, expose_value=False, callback=remember_debug, help="Show the traceback of an error."
)
"""Understood before and after the name of every command."""


def show_version(ctx: click.Context, _: click.Parameter, chosen: bool) -> None:
    if not chosen or ctx.resilient_parsing:
        return
    from importlib import metadata  # costs more than all else that --help imports

    try:
        version = metadata.version("usage-tracker-llm")
    except metadata.PackageNotFoundError:
        version = "not installed, run from its source"
    click.echo(f"usage-tracker {version}")
    ctx.exit()


WITHOUT_CONFIG = frozenset({"completion", "demo", "init", "run"})
"""Commands that the config file has no say in. A program under `run` reads it itself: a mistake in it must not keep the
program from starting, nor the store's password get into the environment of all that it starts."""


def use_config(ctx: click.Context) -> None:
    """Let the config file speak as if its settings were variables, until the command has ended. Raises ConfigError."""
    from usage_tracker.config_file import with_config

    if ctx.invoked_subcommand in WITHOUT_CONFIG:
        return
    try:
        said = with_config()
    except UsageTrackerError:
        if ctx.invoked_subcommand == "doctor":
            return  # it says what is wrong
        raise
    if said is not os.environ:
        before = dict(os.environ)

        def restore() -> None:
            os.environ.clear()
            os.environ.update(before)

        ctx.call_on_close(restore)
        os.environ.update(said)


def begin(ctx: click.Context) -> None:
    """Before each command; without one: where things stand or, where nothing was recorded yet, the help."""
    use_config(ctx)
    if ctx.invoked_subcommand is None:
        from usage_tracker.cli.overview import overview

        if nothing := overview():
            click.echo(ctx.get_help())
            click.echo(f"\n{nothing}", err=True)


main = LazyGroup(
    "usage-tracker",
    places=COMMANDS,
    help=HELP,
    callback=click.pass_context(begin),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        DEBUG,
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=show_version,
            help="Show the version and exit.",
        ),
    ],
)
