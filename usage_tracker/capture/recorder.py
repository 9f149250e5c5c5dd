"""Where finished calls go, and who they are for: what all calls of a process have in common."""

import copy
from collections import deque
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, NamedTuple
from weakref import ref

from usage_tracker.attribution import NOBODY, Attribution, Meter
from usage_tracker.capture.admission import Gate
from usage_tracker.event import CallKind, Origin, UsageEvent
from usage_tracker.once import once
from usage_tracker.providers.hosts import provider_of


class Client(NamedTuple):
    """The SDK client that a call was made with."""

    sdk: str
    host: str | None = None
    azure: bool = False
    api_key: str | None = None
    """A fingerprint."""
    provider: str | None = None
    """Who serves it, where the SDK itself says so."""

    def served_by(self, model: str | None) -> str | None:
        """Who serves a call of that model: as the SDK says, by the host or, at last, by the model's name."""
        return self.provider or provider_of(self.host, model, self.azure)


class RecentlySeen:
    """What was seen of late: an app that polls is told the same again and again. The store holds against the rest."""

    LENGTH = 4096

    def __init__(self) -> None:
        self._seen: dict[object, object] = {}
        self._order: deque[object] = deque()

    def add(self, thing: object) -> bool:
        """Whether it is new. Without a lock, each step being atomic: a fork would leave it locked in the child."""
        mine = object()
        if self._seen.setdefault(thing, mine) is not mine:
            return False
        self._order.append(thing)
        if len(self._order) > self.LENGTH:
            self._seen.pop(self._order.popleft(), None)
        return True


class Recorder:
    """Where finished calls go, and who they are for where nobody said."""

    def __init__(
        self,
        keep: Callable[[Origin, UsageEvent], None],
        *,
        app: str | None = None,
        host: str | None = None,
        pid: int | None = None,
        default: Attribution = NOBODY,
        store_mark: str | None = None,
    ) -> None:
        self.keep = keep
        self.default = default
        self.store_mark = store_mark
        """What a proxy says whose events are in the same store as ours."""
        self.tell: Callable[[CallKind, tuple[Any, ...]], None] | None = None
        """Where finished calls go that are still to be read, as the fields of `Told`; None: they are read at once."""
        self.listeners: list[Callable[[Origin, UsageEvent], None]] = []
        self.gate: Gate | None = None
        """What holds calls back or refuses them, and hears what they have used; None where no budget does."""
        self._completed = RecentlySeen()

        @lru_cache(maxsize=4096)
        def origin(client: Client, provider: str | None, said: Attribution) -> Origin:
            project, team, user, session, tags = said.over(default) if default is not NOBODY else said
            return Origin(
                provider=provider,
                sdk=client.sdk,
                base_host=client.host,
                api_key=client.api_key,
                app=app,
                project=project,
                team=team,
                user_id=user,
                session_id=session,
                tags=tags,
                host=host,
                pid=pid,
            )

        @lru_cache(maxsize=4096)
        def kind(
            client: Client, said: Attribution, reader: str, operation: str, model: str | None, streamed: bool,
            names: tuple[str, ...],
        ) -> CallKind:  # fmt: skip
            return CallKind(
                origin=origin(client, client.served_by(model), said), by_model=client.served_by(None) is None,
                reader=reader, operation=operation, request_model=model, streamed=streamed, names=names,
            )  # fmt: skip

        self.origin = origin
        """Repeated callers share one Origin; a bounded cache, as users and sessions come and go."""
        self.kind = kind
        """And calls of one kind share that."""

    @property
    def watching(self) -> "Recorder":
        """As this one, for calls that somebody else records: whoever listens hears of them, and nothing is kept."""
        watching = self._watching
        watching.gate = self.gate
        return watching

    @once
    def _watching(self) -> "Recorder":
        watching = copy.copy(self)
        watching.keep, watching.tell = lambda origin, event: None, None
        return watching

    def has_told(self, started: str, response_id: str | None) -> None:
        """A call has brought by itself what asking about it later would bring once more."""
        self._completed.add((started, response_id))

    def record(self, origin: Origin, event: UsageEvent, meters: Iterable[ref[Meter]] = ()) -> None:
        if event.completes is not None and not self._completed.add((event.completes, event.response_id)):
            return
        self.keep(origin, event)
        if self.gate is not None:
            self.gate.spent(origin, event)
        for listener in self.listeners:
            listener(origin, event)
        for meter in meters:
            if (reading := meter()) is not None:
                reading.add(origin, event)
