"""`usage-tracker serve`: the dashboard and the HTTP interface."""

import asyncio
import errno
import logging
import os
import socket
from datetime import tzinfo
from typing import Any

import click

from usage_tracker.addresses import is_loopback
from usage_tracker.cli.options import dsn_option, named, tz_option
from usage_tracker.cli.output import say
from usage_tracker.dsn import Dsn, parse_dsn
from usage_tracker.errors import ConfigError
from usage_tracker.seldom import Seldom

KEEP_ALIVE_SECONDS = 75
"""Longer than a look at a page takes, so that the next one needs no new connection."""

GRACE_SECONDS = 5
"""How long it waits for answers that are on their way when it is to end. Of a client that doesn't go on, none comes."""


@click.command(
    help="""The dashboard, and the same figures for programs under /api/v1.

    \b
    On this machine alone, and opened by the link that it prints:
      usage-tracker serve

    \b
    For others, only with a token (in the environment, not on the command line) or behind a proxy that logs people in:
      TRACKER_SERVE_VIEWER_TOKEN=… usage-tracker serve --host 0.0.0.0
      usage-tracker serve --host 10.0.0.5 --proxy-header X-Forwarded-User --proxy-peer 10.0.0.1

    \b
    Environment:
      TRACKER_SERVE_VIEWER_TOKEN   may read
      TRACKER_SERVE_WRITER_TOKEN   may post events to /api/v1/events
      TRACKER_SERVE_ADMIN_TOKEN    may do both and, with --edit, change budgets
      TRACKER_SERVE_SECRET         signs sessions; set it to keep them over restarts
      TRACKER_SERVE_EDIT_DSN       the store as --edit changes it, where --dsn is of a role that may only read
    """
)
@dsn_option
@tz_option
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Where to listen; 0.0.0.0 or :: (also IPv6): everywhere.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="The port; 0: any that is free."
)
@click.option("--proxy-header", metavar="NAME", help="The header in which a trusted proxy says who is logged in.")
@click.option(
    "--proxy-peer", multiple=True, metavar="NETWORK", help="Whose word that header is believed. Repeated: any."
)
@click.option("--admin", "admins", multiple=True, metavar="NAME", help="Of the names that the proxy says, an admin's.")
@click.option("--edit", is_flag=True, help="Let admins change budgets; otherwise nothing but posted events is written.")
def serve(
    dsn: Dsn,
    zone: tzinfo,
    host: str,
    port: int,
    proxy_header: str | None,
    proxy_peer: tuple[str, ...],
    admins: tuple[str, ...],
    edit: bool,
) -> None:
    try:
        import uvicorn

        from usage_tracker.web.access import Access, parse_networks
        from usage_tracker.web.app import create_app
    except ModuleNotFoundError as missing:
        raise ConfigError(
            f"the dashboard needs more packages ({missing.name} is missing): pip install 'usage-tracker-llm[dashboard]'"
        ) from None
    if admins and not proxy_header:
        raise ConfigError("--admin is a name that a proxy says: name its header with --proxy-header")
    settings: dict[str, Any] = {
        "tokens": tokens_of_environment(),
        "proxy_header": proxy_header,
        "proxy_peers": parse_networks(proxy_peer),
        "admins": frozenset(admins),
    }
    if secret := os.environ.get("TRACKER_SERVE_SECRET"):
        settings["secret"] = secret
    access = Access(**settings)
    if not is_loopback(host) and not access.anyone:
        raise ConfigError(
            f"everybody who reaches {host} could read this: set TRACKER_SERVE_VIEWER_TOKEN, or name --proxy-header and "
            "--proxy-peer, or listen on 127.0.0.1"
        )

    def announce(word: str) -> None:
        say(f"Open  {address(host, server.config.port)}/login?once={word}")

    app = create_app(dsn, access, zone, announce if is_loopback(host) else None, edit and store_to_edit(dsn))
    # whose word counts is asked of the true peer, not of what a header says it is
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    server = uvicorn.Server(config)
    with listen_at(host, port, config.backlog) as listening:
        # asyncio does so itself only for sockets that it opens; without, each answer waits 40 ms for an acknowledgement
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config.port = listening.getsockname()[1]
        logging.getLogger("asyncio").addFilter(Crowded())
        logging.getLogger("uvicorn.error").addFilter(is_news)
        say(f"Serving {dsn.shown}; Ctrl-C ends it.")
        if is_loopback(host):
            announce(access.new_link())
        else:
            say(f"Open  {address(host, config.port)}")
        server.run([listening])


def store_to_edit(dsn: Dsn) -> Dsn:
    """The store as --edit changes it. Raises ConfigError."""
    name = "TRACKER_SERVE_EDIT_DSN"
    try:
        return parse_dsn(os.environ[name]) if os.environ.get(name) else dsn
    except ConfigError as error:
        raise ConfigError(named(error, name)) from None


class Crowded(logging.Filter):
    """Of a log: says once a minute that no descriptor is left for another connection. asyncio says so with a traceback
    thousands of times a second, which anybody can have it do who reaches the port."""

    def __init__(self) -> None:
        super().__init__()
        self._saying = Seldom()

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            return True
        if self._saying.due():
            say("Until some are closed, no more connections can be taken: each is an open file (`ulimit -n`).")
        return False


def is_news(record: logging.LogRecord) -> bool:
    """Whether it is something else than an answer that was cut off at the end, or one to a request that breaks off in
    bytes that are no HTTP, which uvicorn has refused by itself: a line says so already, and anybody can have the latter
    written who reaches the port."""
    error = record.exc_info[1] if record.exc_info else None
    is_second = type(error).__name__ == "LocalProtocolError" and "event type Response" in str(error)  # h11's
    return not isinstance(error, asyncio.CancelledError) and not is_second


def listen_at(host: str, port: int, backlog: int) -> socket.socket:
    """Who opens the link at once waits a moment instead of being refused. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # all addresses of a machine are those of both families
    both = host == "::" and socket.has_dualstack_ipv6()
    try:
        return socket.create_server((host, port), family=family, backlog=backlog, dualstack_ipv6=both)
    except OSError as error:
        why = error.strerror or error
        raise ConfigError(f"nothing can be served there: {why}; --port and --host name another place") from None


def tokens_of_environment() -> dict[str, str]:
    return {
        role: token
        for role in ("viewer", "writer", "admin")
        if (token := os.environ.get(f"TRACKER_SERVE_{role.upper()}_TOKEN", "").strip())
    }


def address(host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
