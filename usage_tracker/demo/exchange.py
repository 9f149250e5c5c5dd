"""One request to the stand-in provider and its reply, free of HTTP's details."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    """As on the wire, without the query: `/v1/chat/completions`, `/openai/deployments/NAME/chat/completions`."""
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    """Names in lower case; the key is left out."""
    body: Json = field(default_factory=dict)
    """Fields of the JSON or the form; an uploaded file is its bytes."""

    @property
    def endpoint(self) -> str:
        """The path after what says whose it is: `chat/completions`."""
        parts = self.path.strip("/").split("/")
        if parts[:2] == ["openai", "deployments"]:
            parts = parts[3:]
        elif parts[:2] == ["openai", "v1"]:
            parts = parts[2:]
        elif parts[:1] == ["v1"]:
            parts = parts[1:]
        return "/".join(parts)

    @property
    def azure(self) -> bool:
        """Whether Azure was asked, which speaks the same API with a few fields more."""
        return self.path.startswith("/openai/")

    @property
    def model(self) -> str:
        """The model or, at Azure, the deployment that was asked for."""
        parts = self.path.strip("/").split("/")
        deployment = parts[2] if parts[:2] == ["openai", "deployments"] else ""
        return str(self.body.get("model") or deployment)


class Reply(NamedTuple):
    """What is sent back: one body, or a stream of events."""

    body: Json | str | bytes = b""
    status: int = 200
    kind: str = "application/json"
    events: "Sequence[Event] | None" = None
    headers: Mapping[str, str] = {}
    later: Json | None = None
    """What a GET by its id gives afterwards, where it can be retrieved."""
    done: bool = True
    """Whether a stream of events without names says [DONE] at its end."""


class Event(NamedTuple):
    """One server-sent event."""

    fields: Json
    name: str | None = None


def refusal(
    status: int, message: str, *, code: str | None = None, kind: str = "", parameter: str | None = None
) -> Reply:
    """An error as OpenAI words it: https://platform.openai.com/docs/guides/error-codes"""
    kinds = {401: "invalid_request_error", 429: "rate_limit_error"}
    kind = kind or kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return Reply({"error": {"message": message, "type": kind, "param": parameter, "code": code}}, status)
