"""Where exported files go: a folder, or an object store by fsspec. A file is there as a whole, or not at all."""

import os
import re
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import pyarrow as pa

from usage_tracker.errors import ConfigError, UsageTrackerError
from usage_tracker.exports.buckets import Bucket

Batches = Iterator[pa.RecordBatch]
Write = Callable[[Batches, Path], int]
"""Writes events into a new file; how many."""


class Form(NamedTuple):
    """What files look like."""

    name: str
    suffix: str
    write: Write


class Destination(Protocol):
    """A place that holds each bucket once."""

    shown: str
    """Its address, without secrets: how the store remembers it."""

    def has(self, bucket: Bucket) -> bool:
        """Whether something is there of that bucket. Raises OSError."""

    def version(self, bucket: Bucket) -> int:
        """The version of what is there, where the place knows of versions."""

    def put(self, bucket: Bucket, batches: Batches, version: int) -> int:
        """Put the bucket there, in place of what there is; how many events. `version` is greater than all before.
        Raises OSError, UsageTrackerError where somebody else was quicker."""


class Place(Protocol):
    """A folder, wherever it is."""

    shown: str

    def names(self) -> set[str]:
        """The files below it, by their paths from there. Raises OSError."""

    def put(self, name: str, make: Callable[[Path], int]) -> int:
        """Make a file there. Raises OSError."""


class Files:
    """One file for each bucket, by Hive's names: `day=2026-08-31/usage-2026-08-31-1a2b3c4d.parquet`."""

    def __init__(self, place: Place, form: Form, store_id: str) -> None:
        self.shown = place.shown
        self._place = place
        self._form = form
        self._store_id = store_id
        self._names: set[str] | None = None

    def name(self, bucket: Bucket) -> str:
        return f"day={bucket.day.isoformat()}/usage-{bucket.name}-{self._store_id}{self._form.suffix}"

    def has(self, bucket: Bucket) -> bool:
        if self._names is None:
            self._names = self._place.names()
        return self.name(bucket) in self._names

    def version(self, bucket: Bucket) -> int:
        return 0

    def put(self, bucket: Bucket, batches: Batches, version: int) -> int:
        return self._place.put(self.name(bucket), lambda path: self._form.write(batches, path))


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.shown = str(path)

    def names(self) -> set[str]:
        return {path.relative_to(self._path).as_posix() for path in self._path.glob("day=*/*")}

    def put(self, name: str, make: Callable[[Path], int]) -> int:
        path = self._path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        # of who was killed or, where the folder has two names, is at work, and then writes nothing
        for other in path.parent.glob(f".{path.name}.*.part"):
            other.unlink(missing_ok=True)
        part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
        try:
            made = make(part)
            with part.open("rb") as file:
                os.fsync(file.fileno())
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return made


class ObjectStore:
    """A place that fsspec knows, by its URL. https://filesystem-spec.readthedocs.io"""

    def __init__(self, url: str) -> None:
        self.shown = without_secrets(url)
        self._url = url
        with reaching(url):
            self._system, self._root = open_system(url)

    def names(self) -> set[str]:
        root = self._root.rstrip("/")
        with reaching(self._url):
            self._system.invalidate_cache()
            try:
                found: list[str] = self._system.find(root)
            except FileNotFoundError:
                return set()
        return {path.removeprefix(root).lstrip("/") for path in found}

    def put(self, name: str, make: Callable[[Path], int]) -> int:
        # made here first: an upload that is cut off leaves nothing, where a stream would end in half a file
        with tempfile.TemporaryDirectory(prefix="usage-tracker-") as folder:
            path = Path(folder) / "file"
            made = make(path)
            with reaching(self._url):
                self._system.put_file(str(path), f"{self._root.rstrip('/')}/{name}")
        return made


@contextmanager
def reaching(address: str) -> Iterator[None]:
    """Errors of a place's client as ours, in words that hold no secret: its own may repeat an address."""
    shown = shown_of(address)
    try:
        yield
    except client_errors() as error:
        words = "" if holds_secrets(address) else " ".join(COLOURS.sub("", str(error)).split())
        raise UsageTrackerError(f"{shown} can't be used: {words or type(error).__name__}") from None


COLOURS = re.compile(r"\x1b\[\d*m")
"""Of deltalake's errors, which have many lines as well, also where they go into a log."""

CLIENT_ERRORS = (
    ("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError"), ("gcsfs.retry", "HttpError"),
    ("google.auth.exceptions", "GoogleAuthError"), ("azure.core.exceptions", "AzureError"), ("ftplib", "Error"),
    ("paramiko.ssh_exception", "SSHException"), ("deltalake.exceptions", "DeltaError"),
)  # fmt: skip
"""What deltalake and fsspec's packages raise, beside OSError: each by the module that defines it."""


def client_errors() -> tuple[type[Exception], ...]:
    """OSError, and those of CLIENT_ERRORS whose package is imported."""
    loaded = [(sys.modules[module], name) for module, name in CLIENT_ERRORS if module in sys.modules]
    return (OSError, *(getattr(module, name) for module, name in loaded))


AZURE = ("az", "abfs", "abfss")
"""Whose addresses may have a container before the host, which is a part of the place: `abfss://raw@account.…/usage`."""
PACKAGES = {"s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", **dict.fromkeys(AZURE, "adlfs")}


def open_system(url: str, *, own: bool = False) -> tuple[Any, str]:
    """The file system of a URL, and the path in it; `own`: not the one that the whole process shares. Raises
    ConfigError."""
    try:
        import fsspec
    except ImportError:  # who has pyarrow need not have it
        raise ConfigError("fsspec is not installed; run: pip install 'usage-tracker-llm[export]'") from None
    scheme = urlsplit(url).scheme
    try:
        system, path = fsspec.core.url_to_fs(url, skip_instance_cache=own)
    except ImportError:
        raise ConfigError(
            f"{scheme}:// needs a package more: pip install {PACKAGES.get(scheme, 'its fsspec package')}"
        ) from None
    except ValueError:
        raise ConfigError(f"{scheme}:// is no place that fsspec knows") from None
    return system, path


def without_secrets(url: str) -> str:
    """Raises ConfigError where a part of a password would be taken for the host, where there is none, and where clients
    read it as different places: s3fs lists `lake/usage` for `lake//usage`, and Delta Lake's leaves out what follows
    a #."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        scheme = url.partition("://")[0]
        raise ConfigError(f"{scheme}:// is followed by no host and port; escape special characters as %XX") from None
    if parts.scheme in PACKAGES and not parts.netloc:
        raise ConfigError(f"{parts.scheme}:// is followed by no bucket; write it like {parts.scheme}://bucket/folder")
    if "//" in parts.path.rstrip("/") or "#" in url:
        raise ConfigError(
            f"{parts.scheme}:// is followed by a path with an empty part (//) or a #, which mean different places"
        )
    before, at, host = parts.netloc.rpartition("@")
    container = parts.scheme in AZURE and ":" not in before
    return parts._replace(netloc=before + at + host if container else host, query="").geturl().rstrip("/")


def holds_secrets(address: str) -> bool:
    """Whether there is more in it than is shown, so that a client's own words may repeat that."""
    return is_remote(address) and shown_of(address) != address.rstrip("/")


def shown_of(address: str) -> str:
    """An address as it is said to people, and remembered."""
    return without_secrets(address) if is_remote(address) else str(local_path(address))


def is_remote(address: str) -> bool:
    """Whether it is a URL of something else than this machine's files."""
    return re.match(r"[a-zA-Z][\w+.-]*://", address) is not None and not address.startswith("file://")


def local_path(address: str) -> Path:
    """Raises ConfigError for a chain of fsspec's, whose parts could have secrets."""
    if re.match(r"[a-zA-Z][\w+.-]*::", address) and "://" in address:
        raise ConfigError("--to and --from take the address of a place, and no chain of them (::)")
    return Path(os.path.abspath(os.path.expanduser(address.removeprefix("file://"))))


def open_place(address: str) -> Place:
    """Raises ConfigError."""
    return ObjectStore(address) if is_remote(address) else Folder(local_path(address))
