"""Pages of a provider's admin API: over HTTP with an admin key, or from files that were saved before."""

import json
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from decimal import Decimal
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import click

from usage_tracker.addresses import is_loopback
from usage_tracker.cli.figures import printable
from usage_tracker.outgoing import retry_after
from usage_tracker.report.accounts import BadPage, Kind, has_more

SECONDS = 60
LARGEST = 64 << 20
TRIES = 4
LONGEST_WAIT = 60.0


class Answer(NamedTuple):
    """All pages of one question."""

    kind: Kind | None
    """None: it is as it was saved by others, and only its results say what it is."""
    pages: list[Any]


class Endpoint(NamedTuple):
    path: str
    kind: Kind
    group_by: tuple[str, ...]
    days: int
    """The most that one page may have."""


class Api(NamedTuple):
    address: str
    key: str
    """The environment variable that has the admin key."""
    endpoints: tuple[Endpoint, ...]


OPENAI_USAGE = ("completions", "embeddings", "moderations", "images", "audio_speeches", "audio_transcriptions")

APIS = {
    "openai": Api(
        "https://api.openai.com/v1",
        "OPENAI_ADMIN_KEY",
        (
            Endpoint("/organization/costs", "costs", ("project_id", "line_item"), 180),
            *(Endpoint(f"/organization/usage/{name}", "usage", ("project_id", "model"), 31) for name in OPENAI_USAGE),
        ),
    ),
    "anthropic": Api(
        "https://api.anthropic.com/v1",
        "ANTHROPIC_ADMIN_KEY",
        (
            Endpoint("/organizations/cost_report", "costs", ("workspace_id", "description"), 31),
            Endpoint("/organizations/usage_report/messages", "usage", ("workspace_id", "model"), 31),
        ),
    ),
}


class NoRedirect(HTTPRedirectHandler):
    """An admin key goes nowhere else than where it was sent."""

    def redirect_request(self, *_: object) -> None:
        return None


def check_address(address: str) -> str:
    """The address without a slash at its end. Raises ValueError where a key would go there in the clear, or where it
    isn't the key that lets in; a password is not repeated."""
    parts = urlsplit(address)
    if "@" in parts.netloc:
        raise ValueError("there is a user in front of the host; what lets in is the key, in the environment")
    if parts.hostname is None or parts.scheme not in ("http", "https"):
        raise ValueError(f"{address!r} is no address; write it like https://api.openai.com/v1")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError(f"{address} isn't encrypted, and an admin key isn't sent there; use https")
    return address.rstrip("/")


def ask(provider: str, address: str, key: str, first: date, after: date) -> Iterator[Answer]:
    """The answers about the days from the first up to and without `after`. Raises click.ClickException and BadPage."""
    if not key.isascii() or not key.isprintable():
        raise click.ClickException(f"{APIS[provider].key} holds characters that no key has")
    for endpoint in APIS[provider].endpoints:
        words = query_words(provider, endpoint, first, after)
        pages = [fetch(provider, f"{address}{endpoint.path}?{urlencode(words)}", key)]
        seen = set()
        while has_more(pages[-1]):
            cursor = pages[-1].get("next_page")
            if not isinstance(cursor, str) or cursor in seen:
                raise BadPage(f"{endpoint.path} says that there is another page, and not which")
            seen.add(cursor)
            pages.append(fetch(provider, f"{address}{endpoint.path}?{urlencode([*words, ('page', cursor)])}", key))
        yield Answer(endpoint.kind, pages)


def query_words(provider: str, endpoint: Endpoint, first: date, after: date) -> list[tuple[str, str]]:
    words = [("bucket_width", "1d"), ("limit", str(endpoint.days))]
    words += [("group_by[]", name) for name in endpoint.group_by]
    if provider == "openai":
        start, end = (datetime.combine(day, clock(), UTC).timestamp() for day in (first, after))
        return [*words, ("start_time", f"{start:.0f}"), ("end_time", f"{end:.0f}")]
    # "buckets that end before this": a day more, so that the last one doesn't depend on how that is meant
    return [*words, ("starting_at", f"{first}T00:00:00Z"), ("ending_at", f"{after + timedelta(days=1)}T00:00:00Z")]


def fetch(provider: str, url: str, key: str) -> Any:
    headers = {"User-Agent": "usage-tracker", "Accept": "application/json"}
    if provider == "openai":
        headers["Authorization"] = f"Bearer {key}"
    else:
        headers |= {"x-api-key": key, "anthropic-version": "2023-06-01"}
    place = urlsplit(url)
    # what is for this machine goes in the clear, and through no proxy, whatever NO_PROXY lacks
    opener = build_opener(NoRedirect, *([ProxyHandler({})] if is_loopback(place.hostname or "") else ()))
    for tried in range(1, TRIES + 1):
        try:
            with opener.open(Request(url, headers=headers), timeout=SECONDS) as answer:  # noqa: S310  checked
                content: bytes = answer.read(LARGEST + 1)
            break
        except HTTPError as error:
            with error:
                if tried < TRIES and (error.code == 429 or error.code >= 500):
                    time.sleep(wait_seconds(error.headers.get("Retry-After"), tried))
                    continue
                raise click.ClickException(refusal(provider, place.path, error)) from None
        except HTTPException as error:
            raise BadPage(f"{place.path} answered with what is no HTTP ({type(error).__name__})") from None
        except (URLError, OSError) as error:
            reason = getattr(error, "reason", error)
            raise click.ClickException(
                f"{place.netloc} can't be reached ({reason}); fetch its pages elsewhere, and name the files with --from"
            ) from None
    if len(content) > LARGEST:
        raise BadPage(f"{place.path} answered with more than {LARGEST >> 20} MB")
    try:
        return json.loads(content, parse_float=Decimal)
    except (ValueError, RecursionError):
        raise BadPage(f"{place.path} answered with what is no JSON") from None


def wait_seconds(told: str | None, tried: int) -> float:
    after = retry_after(told)
    return float(2**tried) if after is None else min(after, LONGEST_WAIT)


def refusal(provider: str, path: str, error: HTTPError) -> str:
    """What to do. The provider's own words are left out where they may quote the key."""
    if error.code in (401, 403):
        return (
            f"{provider} refused the key (HTTP {error.code}) for {path}: it takes an admin key, which only an "
            f"organization's owner can make, in {APIS[provider].key}"
        )
    try:
        told = json.loads(error.read(LARGEST))["error"]["message"]
    except (ValueError, KeyError, TypeError, RecursionError, OSError, HTTPException):
        told = None
    words = f": {printable(told[:300])}" if isinstance(told, str) and error.code in (400, 404, 422) else ""
    return f"{provider} answered HTTP {error.code} for {path}{words}"


def read_files(paths: Sequence[Path]) -> Iterator[Answer]:
    """The answers in files, in the order that they are named: what `write_answers` wrote, or pages as they were sent,
    one, a list of them, or one after the other. Raises click.ClickException, also where a last page isn't there."""
    pages: list[Any] = []
    for path in paths:
        try:
            for found in decode(path.read_text(encoding="utf-8-sig")):
                if isinstance(found, dict) and isinstance(found.get("pages"), list):
                    yield Answer(found["kind"] if found.get("kind") in ("costs", "usage") else None, found["pages"])
                    continue
                pages.append(found)
                if not has_more(found):
                    yield Answer(None, pages)
                    pages = []
        except OSError as error:
            raise click.FileError(str(path), error.strerror) from None
        except BadPage as error:
            raise click.ClickException(f"{path}: {error}") from None
        except (ValueError, RecursionError):
            raise click.ClickException(f"{path} holds no JSON; save the provider's answers as they are") from None
    if pages:
        raise click.ClickException(
            f"{paths[-1]}: its last page says that another one follows (has_more); ask for it with page=… of its "
            "next_page, and save it behind"
        )


def decode(text: str) -> Iterator[Any]:
    """The JSON values that stand one after the other, lists taken apart."""
    decoder = json.JSONDecoder(parse_float=Decimal)
    place = start_of_next(text, 0)
    while place < len(text):
        found, place = decoder.raw_decode(text, place)
        yield from found if isinstance(found, list) else [found]
        place = start_of_next(text, place)


def start_of_next(text: str, place: int) -> int:
    while place < len(text) and text[place].isspace():
        place += 1
    return place


def write_answers(answers: Sequence[Answer]) -> str:
    """Amounts as text, so that none of their digits is lost."""
    return json.dumps([answer._asdict() for answer in answers], indent=1, default=str) + "\n"
