"""Who a request is for: what the app says of it, and what it says of itself as far as the app trusts that."""

from collections.abc import Callable, Mapping
from typing import Any

from usage_tracker.attribution import NOBODY, Attribution, clean_tags
from usage_tracker.errors import ConfigError
from usage_tracker.guard import guarded
from usage_tracker.scoped import suspends
from usage_tracker.scopes import attribution_of

Who = Callable[[Any], Mapping[str, Any] | None]
"""Says of a request what `attribute()` takes: `{"user": …, "team": …, "tags": […]}`. Asked at each call of a model, in
its thread or task, so that whatever the request has gone through by then may be used, and requests that call no model
cost nothing."""


class Asker:
    """Asks the app, then the headers that it named, then the router."""

    def __init__(self, who: Who | None, headers: Mapping[str, str] | None, route: bool) -> None:
        """`headers`: project, team, user, session or tags, to the header's name. Raises ConfigError."""
        for name in headers or ():
            if name not in Attribution._fields:
                raise ConfigError(f"headers can't say {name!r}; they may say {', '.join(Attribution._fields)}")
        if who is not None and suspends(who):
            raise ConfigError("who has to be a plain function, of the request: it is asked in the middle of other code")
        self._who = who
        self._headers = dict(headers or {})
        self._route = route

    def ask(self, request: object, header: Callable[[str], str | None], route: Callable[[], object]) -> Attribution:
        """An error of the app's own `who` is counted and logged as ours are, and the call is for nobody."""
        said = NOBODY
        if self._route:
            with guarded("route"):
                found = route()
                said = Attribution(tags=clean_tags((f"route:{found}",)) if found else ())
        if self._headers:
            with guarded("headers"):
                told: dict[str, Any] = {name: header(by) for name, by in self._headers.items()}
                told["tags"] = (told.get("tags") or "").split(",")
                said = attribution_of(told).over(said)
        if self._who is not None:
            with guarded("who"):
                said = attribution_of(self._who(request) or {}).over(said)
        return said
