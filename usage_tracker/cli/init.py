"""`usage-tracker init`: asks for the store and a few names, tries them, and writes them down."""

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import click

from usage_tracker.cli.figures import counted
from usage_tracker.cli.options import choose_dsn, named, tell_typed
from usage_tracker.cli.output import can_ask, say
from usage_tracker.config_file import config_path, write_config
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.errors import ConfigError, SchemaError, StoreError
from usage_tracker.folders import default_dsn
from usage_tracker.stores import migrations, open_store
from usage_tracker.zones import parse_zone


class Answers(NamedTuple):
    """What goes into the file: settings by name, None where the default is wanted."""

    dsn: str | None
    app: str | None
    project: str | None
    tz: str | None


@click.command(
    help="""Set up this user's machine: ask for the store and a few names, try the store, lay its schema, and write a
    config file that programs and commands read from then on.

    A question that an option answers is not asked; with --no-input none is. A password is never shown: leave it out of
    --dsn to be asked for it, or keep it in ~/.pgpass. The file is for this user's eyes only; TRACKER_* variables and
    arguments of install() go before it.

    \b
    Examples:
      usage-tracker init
      usage-tracker init --no-input --dsn postgresql://tracker@db.example.com/usage --app shop
      usage-tracker init --no-input --config ./tracker.toml      for TRACKER_CONFIG=./tracker.toml
    """
)
@click.option(
    "--dsn",
    envvar="TRACKER_DSN",
    callback=tell_typed,
    metavar="DSN",
    help="The store; unset: TRACKER_DSN, or a question.",
)
@click.option("--app", metavar="NAME", help="The name of your programs.  [default: each script's own]")
@click.option("--project", metavar="NAME", help="The project of calls that name none.")
@click.option("--tz", metavar="ZONE", help="The time zone of reports, such as Europe/Berlin.  [default: UTC]")
@click.option("--migrate/--no-migrate", default=None, help="Whether to bring the store's schema up to date.")
@click.option("--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The file to write.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--no-input", is_flag=True, help="Ask nothing: what no option says has its default.")
def init(
    dsn: str | None,
    app: str | None,
    project: str | None,
    tz: str | None,
    migrate: bool | None,
    config: Path | None,
    force: bool,
    no_input: bool,
) -> None:
    path = config or config_path()
    asking = not no_input
    if asking and not can_ask():
        raise click.UsageError("there is no terminal to ask on; give --no-input, and --dsn where it isn't the default")
    if path.exists() and not force:
        if not asking:
            raise click.ClickException(f"{path} is there already; --force replaces it")
        click.confirm(f"{path} is there already. Replace it?", abort=True, err=True)
    store, missing = ask_store() if asking and dsn is None else try_store(ask_password(dsn) if asking else dsn)
    app = ask(asking, "Name of your programs (empty: each script's own)", app)
    project = ask(asking, "Project of calls that name none (empty: none)", project)
    tz = ask_zone(asking, tz)
    if missing is not None:
        lay_schema(choose_dsn(store), missing, asking, migrate)
    answers = Answers(store, app, project, tz)
    try:
        write_config(path, {name: value for name, value in answers._asdict().items() if value})
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from None
    say(f"Written to {path}.")
    if path != config_path():
        say(f"Programs read it with TRACKER_CONFIG={path}.")
    say(
        "Next: `usage-tracker run -- python app.py`, or a first line `import usage_tracker.auto`; then `usage-tracker`."
    )


def ask(asking: bool, question: str, given: str | None) -> str | None:
    if given is not None or not asking:
        return given
    return str(click.prompt(question, default="", show_default=False, err=True)).strip() or None


def ask_zone(asking: bool, given: str | None) -> str | None:
    """A zone that there is. Raises click.UsageError, or asks again."""
    while True:
        zone = ask(asking, "Time zone of reports, such as Europe/Berlin (empty: UTC)", given)
        try:
            parse_zone(zone or "UTC")
        except ValueError as error:
            if given is not None:
                raise click.UsageError(f"--tz: {error}") from None
            say(sentence(str(error)))
        else:
            return zone


def ask_store() -> tuple[str | None, list[str] | None]:
    """Ask until there is a store that works, or one that is to be used although it doesn't."""
    say(
        f"Where do events go? Enter alone means {default_dsn().shown}; type another address otherwise, such as "
        "postgresql://user@host:5432/database."
    )
    while True:
        text = str(click.prompt("Store", default="", show_default=False, err=True)).strip() or None
        try:
            text = ask_password(text)
            return try_store(text)
        except ConfigError as error:
            say(sentence(named(error, "it")))
        except StoreError as error:
            say(sentence(str(error)))
            if click.confirm("Use it all the same?", default=False, err=True):
                return text, None


def sentence(text: str) -> str:
    return text if text.endswith("?") else f"{text}."


def ask_password(text: str | None) -> str | None:
    """The address with a password, if it takes one and has none. Raises ConfigError for what is no address."""
    if text is None or not lacks_password(text):
        return text
    question = "Password (empty: from ~/.pgpass, or none)"
    password = click.prompt(question, default="", show_default=False, hide_input=True, err=True)
    return with_password(text, password) if password else text


def lacks_password(text: str) -> bool:
    """Whether it is a Postgres URL that names a user and no password. Raises ConfigError for what is no address."""
    dsn = parse_dsn(text)
    user, _, _ = text.partition("://")[2].rpartition("@")
    return dsn.scheme == "postgresql" and bool(user) and not dsn.has_secret and "passfile=" not in text


def with_password(text: str, password: str) -> str:
    from urllib.parse import quote

    scheme, _, rest = text.partition("://")
    user, _, place = rest.rpartition("@")
    return f"{scheme}://{user}:{quote(password, safe='')}@{place}"


def try_store(text: str | None) -> tuple[str | None, list[str]]:
    """The address, and the migrations that its store lacks. Says so if it can be reached. Raises ConfigError and
    StoreError."""
    dsn = choose_dsn(text)
    if dsn.scheme == "sqlite":
        text = text and dsn.setting  # relative to where we are now, not to each program
        if not Path(dsn.text).exists():
            say(f"{dsn.shown} will be made.")
            return text, [migration.name for migration in migrations.migrations("sqlite")]
    with closing(open_store(dsn)) as store:
        try:
            applied = migrations.applied_in(store)
        except SchemaError:
            applied = {}
        missing = migrations.missing(applied, store.dialect.name)
    say(f"{dsn.shown} can be reached.")
    return text, [migration.name for migration in missing]


def lay_schema(dsn: Dsn, missing: list[str], asking: bool, migrate: bool | None) -> None:
    """Bring the schema up to date, if that is wanted."""
    if not missing:
        return
    if migrate is None:
        migrate = not asking or click.confirm("Lay its schema now?", default=True, err=True)
    if not migrate:
        say("Run `usage-tracker migrate` as the schema's owner before programs record.")
        return
    with closing(open_store(dsn)) as store:
        applied = store.migrate()
    say(f"Its schema is up to date ({counted(len(applied), 'migration')} applied).")
