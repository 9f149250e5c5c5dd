"""Settings: argument > environment variable > default; the file between these is `config_file`. A bad value raises
ConfigError with the valid forms, never a secret."""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from usage_tracker.addresses import Address, Secret, parse_mail_server, parse_mailboxes, parse_receiver
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.errors import ConfigError
from usage_tracker.folders import default_dsn, default_spool, located, unassigned_spool
from usage_tracker.program_name import program_name
from usage_tracker.sink_addresses import SinkAddress, parse_sinks


class Settings(NamedTuple):
    """All that can be set. Each field has an environment variable of the same name: TRACKER_ and the name in
    capitals."""

    spool_dir: Path
    """The folder of this store's journal segments."""
    app: str
    host: str
    dsn: Dsn | None = None
    """The store; None only where shipping is off, or where the DSN could not be used."""
    ship: bool = True
    """Whether this process may ship; off where a sidecar (`usage-tracker ship`) does."""
    project: str | None = None
    team: str | None = None
    user: str | None = None
    session: str | None = None
    tags: tuple[str, ...] = ()
    sdks: tuple[str, ...] | None = None
    """The SDKs to patch; None: every one that we know and that is installed."""
    stream_usage: str = "known"
    """Streams whose usage we ask for where the app doesn't: of hosts that are `known` to send it only when asked,
    `always`, or `never`."""
    exit_timeout: float = 2.0
    """Seconds that a normal exit may wait for the store."""
    spool_max_bytes: int = 1 << 30
    """Bound of the spool folder; beyond it new events are dropped and counted."""
    spool_group: int | None = None
    """The id of the group whose members share the spool folder: programs of several users, beside one sidecar."""
    batch_size: int = 5000
    batch_seconds: float = 1.0
    """The longest that an event waits for its batch to fill."""
    prices: Path | None = None
    """The price book, a TOML file. It goes before the book in the store."""
    store_name: str | None = None
    """What apps and a LiteLLM proxy that write into one store call it, where they reach it by different addresses."""
    alert_webhook: tuple[Address, ...] = ()
    """Where alerts are posted to, as JSON."""
    alert_secret: Secret | None = None
    """Signs them."""
    alert_slack: tuple[Address, ...] = ()
    """Incoming webhooks of Slack."""
    alert_smtp: Address | None = None
    """What sends alerts by e-mail."""
    alert_email: tuple[str, ...] = ()
    """To whom."""
    alert_from: str = "usage-tracker@localhost"
    on_alert: Callable[[dict[str, Any]], object] | None = None
    """A function that gets each alert, where this process is the one that sends it. An argument only."""
    budgets: str = "on"
    """Whether calls are held to budgets: `on`, as soon as this host knows any; `wait`, where the first call waits until
    it is known whether there are; or `off`."""
    export_to: str | None = None
    """A folder or an object store that the leader exports to."""
    export_format: str = "parquet"
    export_minutes: float = 60.0
    """How often."""
    sinks: tuple[SinkAddress, ...] = ()
    """Where the leader passes events on to as they come: `NAME=ADDRESS`, or an address alone."""
    sink_secret: Secret | None = None
    """Signs what webhooks among them get."""
    fingerprint_key: str = "usage_tracker"
    """Keys the fingerprint of API keys; set the same one on all hosts to make it unguessable and comparable."""


DEFAULTS: Mapping[str, Any] = Settings._field_defaults
PREFIX = "TRACKER_"
NO_GROUP = (1 << 32) - 1
"""The ids of groups are below."""


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def readable(value: object) -> str:
    """As text, a member of a str Enum by its value; without what is no character, as an environment and the name of a
    program may hold bytes that are no text."""
    return str.encode(value if isinstance(value, str) else str(value), "utf-8", "replace").decode()


class Said:
    """What arguments and environment say, or else the default, read as what a setting needs. Raises ConfigError with
    the variable's name."""

    def __init__(self, environ: Mapping[str, str], arguments: Mapping[str, object]) -> None:
        self.environ = environ
        self._arguments = arguments

    def text(self, name: str) -> str | None:
        value = self._arguments.get(name)
        if value is None:
            value = self.environ.get(variable(name), "")
        return readable(value) or None

    def name(self, name: str) -> str | None:
        """What events are called by: blanks around it, as files of variables leave them, would make it another one."""
        return (self.text(name) or "").strip() or None

    def path(self, name: str) -> Path | None:
        text = self.text(name)
        return located(text) if text else None

    def secret(self, name: str) -> Secret | None:
        text = self.text(name)
        return Secret(text) if text else None

    def number(self, name: str, least: float) -> float:
        text = self.text(name)
        if text is None:
            return float(DEFAULTS[name])
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value < float("inf"):
            raise ConfigError(f"{variable(name)}={text!r} is not a number of at least {least:g}")
        return value

    def words(self, name: str) -> tuple[str, ...] | None:
        value = self._arguments.get(name)
        if isinstance(value, Mapping):
            value = [f"{readable(key)}:{readable(text)}" for key, text in value.items() if text is not None]
        if value is not None and not isinstance(value, str) and isinstance(value, Iterable):
            return tuple(text for word in value if (text := readable(word).strip()))
        said = self.text(name)
        return None if said is None else tuple(text for word in said.split(",") if (text := word.strip()))

    def choice(self, name: str, *others: str) -> str:
        """The default, or one of the others."""
        choices = (DEFAULTS[name], *others)
        text = self.text(name) or choices[0]
        if text not in choices:
            raise ConfigError(f"{variable(name)}={text!r} is none of {', '.join(choices)}")
        return text

    def function(self, name: str) -> Callable[..., object] | None:
        """An argument alone."""
        value = self._arguments.get(name)
        if value is not None and not callable(value):
            raise ConfigError(f"{name} is no function")
        return value

    def receivers(self, name: str) -> tuple[Address, ...]:
        return tuple(parse_receiver(variable(name), text) for text in self.words(name) or ())

    def group(self, name: str) -> int | None:
        text = self.text(name)
        if text is None:
            return None
        if text.isdecimal() and int(text) < NO_GROUP:
            return int(text)
        import grp

        try:
            return grp.getgrnam(text).gr_gid
        except KeyError:
            raise ConfigError(f"{variable(name)}={text!r} is no group of this machine, nor a number") from None

    def switch(self, name: str) -> bool:
        text = self.text(name)
        if text is None:
            return bool(DEFAULTS[name])
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() in ("0", "false", "no", "off"):
            return False
        raise ConfigError(f"{variable(name)}={text!r} is neither on nor off")


def load_settings(environ: Mapping[str, str] = os.environ, **arguments: object) -> Settings:
    """Settings from arguments, then TRACKER_* variables, then defaults. Raises ConfigError."""
    said = Said(environ, arguments)
    app = readable(said.name("app") or environ.get("OTEL_SERVICE_NAME") or program_name())
    ship = said.switch("ship")
    dsn_text = said.text("dsn")
    dsn = parse_dsn(dsn_text) if dsn_text else default_dsn(environ) if ship else None
    spool_dir, prices, export_to = said.path("spool_dir"), said.path("prices"), said.text("export_to")
    mail_server, mailboxes = load_mailing(said)
    [sender] = parse_mailboxes("TRACKER_ALERT_FROM", (said.text("alert_from") or DEFAULTS["alert_from"],))
    return Settings(
        dsn=dsn,
        spool_dir=spool_dir or (default_spool(dsn, environ) if dsn else unassigned_spool(app, environ)),
        ship=ship,
        app=app,
        project=said.name("project"),
        team=said.name("team"),
        user=said.name("user"),
        session=said.name("session"),
        tags=said.words("tags") or (),
        sdks=said.words("sdks"),
        stream_usage=said.choice("stream_usage", "always", "never"),
        exit_timeout=said.number("exit_timeout", least=0),
        spool_group=said.group("spool_group"),
        spool_max_bytes=int(said.number("spool_max_bytes", least=1 << 20)),
        batch_size=int(said.number("batch_size", least=1)),
        batch_seconds=said.number("batch_seconds", least=0.01),
        prices=prices,
        alert_webhook=said.receivers("alert_webhook"),
        alert_secret=said.secret("alert_secret"),
        alert_slack=said.receivers("alert_slack"),
        alert_smtp=mail_server,
        alert_email=mailboxes,
        alert_from=sender,
        on_alert=said.function("on_alert"),
        budgets=said.choice("budgets", "wait", "off"),
        host=said.name("host") or os.uname().nodename,
        store_name=said.text("store_name"),
        export_to=export_to if export_to is None or "://" in export_to else str(said.path("export_to")),
        export_format=said.choice("export_format", "delta", "focus", "csv", "jsonl"),
        export_minutes=said.number("export_minutes", least=0.01),
        sinks=parse_sinks(said.words("sinks") or ()),
        sink_secret=said.secret("sink_secret"),
        fingerprint_key=said.text("fingerprint_key") or DEFAULTS["fingerprint_key"],
    )


BESIDE = (
    ("TRACKER_ALERT_WEBHOOK",),
    ("TRACKER_ALERT_SLACK",),
    ("TRACKER_ALERT_SMTP", "TRACKER_ALERT_EMAIL", "TRACKER_ALERT_FROM"),
    ("TRACKER_SINKS",),
    ("TRACKER_EXPORT_FORMAT", "TRACKER_EXPORT_MINUTES", "TRACKER_EXPORT_TO"),
)
"""Variables of what is done beside shipping, each with those that it is of no use without."""


def load_usable(environ: Mapping[str, str] = os.environ, **arguments: object) -> tuple[Settings, list[str]]:
    """As `load_settings`, but whoever alerts, sinks or exports can't reach is left out, and events go their way: with a
    sentence for each. Raises ConfigError for all else."""
    with suppress(ConfigError):
        return load_settings(environ, **arguments), []
    usable = {name: value for name, value in environ.items() if not any(name in family for family in BESIDE)}
    settings, sentences = load_settings(usable, **arguments), []
    for family in BESIDE:
        tried = {**usable, **{name: environ[name] for name in family if name in environ}}
        try:
            settings = load_settings(tried, **arguments)
        except ConfigError as error:
            sentences.append(str(error))
        else:
            usable = tried
    return settings, sentences


def load_piecemeal(environ: Mapping[str, str], **arguments: object) -> Settings:
    """As `load_settings`, of those TRACKER_* variables alone that can be used."""
    usable = {name: value for name, value in environ.items() if not name.startswith(PREFIX)}
    for name in environ.keys() - usable.keys():
        with suppress(ConfigError):
            load_settings({**usable, name: environ[name]}, **arguments)
            usable[name] = environ[name]
    return load_settings(usable, **arguments)


def load_mailing(said: Said) -> tuple[Address | None, tuple[str, ...]]:
    """What sends alerts by e-mail, and to whom. Raises ConfigError, which repeats no address."""
    server, boxes = said.text("alert_smtp"), parse_mailboxes("TRACKER_ALERT_EMAIL", said.words("alert_email") or ())
    if bool(server) != bool(boxes):
        raise ConfigError("alerts by e-mail need TRACKER_ALERT_SMTP, the server, and TRACKER_ALERT_EMAIL, to whom")
    return parse_mail_server("TRACKER_ALERT_SMTP", server) if server else None, boxes
