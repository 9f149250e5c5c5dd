"""`usage-tracker prices update`: newer data of genai-prices than what is bundled with it."""

from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

import click

from usage_tracker.cli.figures import counted, printable
from usage_tracker.cli.options import output_option
from usage_tracker.cli.output import emit, say
from usage_tracker.cli.plain import json_document
from usage_tracker.pricing.genai import GenaiPrices
from usage_tracker.pricing.newer import Change, compare, data_file, newest_data, read_data

SECONDS = 30
LARGEST = 64 << 20
SHOWN = 20


@click.command(
    help="""Take newer data of genai-prices, which prices are looked up in from then on.

    Prices come with the installed genai-prices and never change by themselves: upgrading that package is the usual way
    to newer ones. This command takes them without an upgrade, for the programs of this user on this machine; they use
    them from their next start on. What is priced already keeps its cost.

    \b
    Examples:
      usage-tracker prices update --dry-run
      usage-tracker prices update --from data.json      a file of genai-prices, where there is no internet
      usage-tracker prices update --bundled             back to what is bundled
    """
)
@click.option(
    "--from", "place", metavar="FILE|URL", help="Where to take it from; unset: where genai-prices publishes it."
)
@click.option("--bundled", is_flag=True, help="Go back to the data that came with the installed genai-prices.")
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@output_option(("table", "json"))
def update(place: str | None, bundled: bool, dry_run: bool, output: str) -> None:
    if bundled and place:
        raise click.UsageError("--bundled and --from contradict each other")
    old = newest_data()
    content = b"" if bundled else fetch(place or default_url())
    new = GenaiPrices() if bundled else read_data(content)
    changes = compare(old, new)
    if output == "json":
        rows = [change._asdict() for change in changes]
        emit([json_document(old=old.version, new=new.version, changes=rows)])
    else:
        emit([as_text(changes)])
    if dry_run:
        say(f"{old.version} → {new.version}: {counted(len(changes), 'model')} would change.")
        return
    path = data_file()
    try:
        if bundled:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            part = path.with_suffix(".part")
            part.write_bytes(content)
            part.replace(path)
    except OSError as error:
        raise click.FileError(str(path), error.strerror) from None
    where = "the bundled data" if bundled else str(path)
    changed = counted(len(changes), "model")
    say(f"{old.version} → {new.version}: {changed} changed. Programs use {where} from their next start on.")


class StaysEncrypted(HTTPRedirectHandler):
    """Where TLS was asked for, nobody between may say what everything costs."""

    def redirect_request(self, asked: Request, *more: Any) -> Request | None:
        found = super().redirect_request(asked, *more)
        return None if found is not None and asked.type == "https" != found.type else found


def default_url() -> str:
    from genai_prices.update_prices import DEFAULT_UPDATE_URL

    return DEFAULT_UPDATE_URL


def fetch(place: str) -> bytes:
    """The content of a file or, over HTTP, of an address. Raises click.ClickException."""
    if not place.startswith(("http://", "https://")):
        try:
            return Path(place).read_bytes()
        except OSError as error:
            raise click.FileError(place, error.strerror) from None
    try:
        asked = Request(place, headers={"User-Agent": "usage-tracker"})  # noqa: S310  checked
        with build_opener(StaysEncrypted).open(asked, timeout=SECONDS) as answer:
            content: bytes = answer.read(LARGEST + 1)
    except HTTPError as error:
        with error:
            raise unreachable(f"HTTP {error.code}") from None
    except (HTTPException, ValueError) as error:  # whose words repeat parts of the address
        raise unreachable(type(error).__name__) from None
    except OSError as error:
        raise unreachable(getattr(error, "reason", error)) from None
    if len(content) > LARGEST:
        raise click.ClickException(f"what is there is larger than {LARGEST >> 20} MB, and no price data")
    return content


def unreachable(why: object) -> click.ClickException:
    """Without the address, which may hold a password or a token."""
    return click.ClickException(
        f"the data can't be fetched ({why}); download it elsewhere and name the file with --from, or upgrade "
        "genai-prices"
    )


def as_text(changes: Sequence[Change]) -> str:
    lines = []
    for change in changes[:SHOWN]:
        was = f"{printable(change.before)} → " if change.before and change.after else ""
        lines.append(
            f"{change.change:5}  {change.provider}  {change.model}: {was}{printable(change.after or change.before)}\n"
        )
    if len(changes) > SHOWN:
        lines.append(f"       and {len(changes) - SHOWN} more: -o json has all of them\n")
    return "".join(lines)
