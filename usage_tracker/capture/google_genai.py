"""How the google-genai SDK makes requests and what it hands back.

Its choke points are the four request functions of the API client: below automatic function calling, chats, continuation
and raw responses, each of which is one call or more. Streams are generators; the sync one sends nothing before it is
asked for its first chunk. https://github.com/googleapis/python-genai/blob/v2.34.0/google/genai/_api_client.py
Interactions have a client of their own, see `google_interactions`; live sessions a socket, see `google_live`.
"""

from collections.abc import Generator, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import msgspec

from usage_tracker.attribution import inside
from usage_tracker.capture.admission import Hold, hold_of, hold_to_await, pass_hold
from usage_tracker.capture.bodies import skim
from usage_tracker.capture.call import Call, Wrapper
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.capture.google_batches import BatchFiles
from usage_tracker.capture.nesting import await_within, nested
from usage_tracker.capture.pulling import Pulling
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.capture.streams import AsyncObserved
from usage_tracker.config import Settings
from usage_tracker.event import Status
from usage_tracker.guard import guarded
from usage_tracker.providers import google_genai
from usage_tracker.providers.answer import operation_asked, word
from usage_tracker.providers.gemini_bodies import Body
from usage_tracker.providers.gemini_fields import tier_of
from usage_tracker.providers.google_batches import BatchFile, batch_parts

guard_begin, guard_answer, guard_chunk = guarded("begin call"), guarded("read answer"), guarded("chunk")
decode_known = msgspec.json.Decoder(Body).decode

TIER_HEADERS = ("x-gemini-service-tier", "X-Gemini-Service-Tier")
"""https://ai.google.dev/gemini-api/docs/priority-inference; the SDK keeps names as the HTTP library has them."""
END: Any = object()


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    around = AroundRequests(recorder, Clients(sdk, settings.fingerprint_key))
    return {
        "request": around.request,
        "stream": around.stream,
        "attempt": around_attempt,
        "download": around.download,
    }


class Clients:
    """What the SDK's API clients are, each looked at once."""

    def __init__(self, sdk: str, fingerprint_key: str) -> None:
        self._sdk = sdk
        self._fingerprint_key = fingerprint_key
        self._known: WeakKeyDictionary[Any, tuple[object, object, object, Client]] = WeakKeyDictionary()

    def of(self, api_client: Any, options: object = None) -> Client:
        """`options` are the request's own, which may name another base URL."""
        key, own = api_client.api_key, api_client._http_options
        url = option(options, "base_url") if options is not None else None
        known = self._known.get(api_client)
        if known is None or known[0] is not own or known[1] is not key or known[2] is not url:
            host = url or option(own, "base_url")
            client = Client(
                self._sdk,
                urlsplit(host).hostname if isinstance(host, str) else None,
                api_key=fingerprint(key, self._fingerprint_key),
                provider="vertex" if api_client.vertexai else "gemini",
            )
            self._known[api_client] = known = (own, key, url, client)
        return known[3]


def option(options: Any, name: str) -> Any:
    """One of the SDK's HTTP options, which may be an object or a dict."""
    return options.get(name) if isinstance(options, dict) else getattr(options, name, None)


class StreamedCall(Call):
    """A call whose answer tells its totals so far with each piece, so that most pieces need no reading: a piece is held
    until the next one has come, and dropped where that tells all that it told."""

    def __init__(self, *asked: Any) -> None:
        super().__init__(*asked)
        self._held: Mapping[str, Any] | None = None

    def take(self, fields: Mapping[str, object]) -> None:
        """Take what a piece says."""
        if self.ttft is None:
            self.observe(fields)
        else:
            if self._held is not None and not supersedes(fields, self._held):
                self.observe(self._held)
            self._held = fields

    def finish(self, status: Status = "ok", error_type: str | None = None) -> None:
        with guard_chunk:
            if self._held is not None:
                self.observe(self._held)
                self._held = None
        super().finish(status, error_type)


PLAIN = frozenset({"candidates", "modelVersion", "responseId", "usageMetadata"})
"""What a piece has that says no more than text and figures."""


def supersedes(later: Mapping[str, Any], earlier: Mapping[str, Any]) -> bool:
    """Whether a piece of a stream tells all that an earlier one told, so that what both say is what it says."""
    told, tells = earlier.get("usageMetadata"), later.get("usageMetadata")
    if not isinstance(told, dict) or not isinstance(tells, dict):
        return False
    if not PLAIN.issuperset(earlier) or not later.keys() >= earlier.keys():
        return False
    # what a candidate says but its content is why it ended, or what it searched for
    return not any(earlier.get("candidates") or ()) and tells.keys() >= told.keys() and None not in tells.values()


class AroundRequests:
    """The wrappers of `request(http_method, path, request_dict, http_options)` and its kin, for sync and async clients
    alike: an answer that has to be awaited is."""

    def __init__(self, recorder: Recorder, clients: Clients) -> None:
        self._recorder = recorder
        self._clients = clients
        self._files = BatchFiles(recorder)

    def request(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around a request whose answer comes in one piece."""
        if nested():
            return wrapped(*args, **kwargs)
        call = self._begin(instance, args, kwargs, streamed=False)
        if call is None:
            return wrapped(*args, **kwargs)
        hold = hold_to_await(call, body_of(call, args, kwargs), wrapped)
        result = None
        with call:
            result = wrapped(*args, **kwargs)
        if hasattr(result, "__await__"):
            return self._awaited(call, result, hold)
        with guard_answer:
            self._answered(call, result)
        return result

    async def _awaited(self, call: Call, result: Any, hold: Hold | None) -> Any:
        result = await await_within(call, result, hold)
        with guard_answer:
            self._answered(call, result)
        return result

    def _answered(self, call: Call, result: Any) -> None:
        """Read the answer. Whatever is no success was raised as an error."""
        call.http_status = 200
        fields = read_body(result)
        if call.request.retrieves:
            self._files.note(fields)
            for part in batch_parts(fields):
                call.complete(part)
        else:
            call.observe(fields)
            if call.answer.service_tier is None:
                read_tier(call, result)
        call.finish()

    def download(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around `download_file(path, …)`: of interest is a file with a batch's answers."""
        content, file = wrapped(*args, **kwargs), None
        with guard_begin:
            file = self._files.holds(kwargs["path"] if "path" in kwargs else args[0])
        if file is None:
            return content
        if hasattr(content, "__await__"):
            return self._downloaded(file, instance, content, kwargs.get("destination"))
        with guard_answer:
            self._files.read(file, self._clients.of(instance), content, kwargs.get("destination"))
        return content

    async def _downloaded(self, file: BatchFile, instance: Any, content: Any, destination: object) -> Any:
        content = await content
        with guard_answer:
            self._files.read(file, self._clients.of(instance), content, destination)
        return content

    def stream(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Around a request whose answer comes in pieces."""
        source = wrapped(*args, **kwargs)
        if hasattr(source, "__await__"):
            return self._opened(source, instance, args, kwargs)
        return self._pulled(source, instance, args, kwargs)

    def _pulled(
        self, source: Iterator[Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Generator[Any, None, None]:
        """The chunks of a sync stream. The call begins with the first pull, as the request does."""
        call = None if nested() else self._begin(instance, args, kwargs, streamed=True)
        if call is None:
            yield from source
            return
        if (hold := hold_of(call, body_of(call, args, kwargs))) is not None:
            pass_hold(hold, call)
        chunk = END
        with call:
            chunk = next(source, END)
        call.http_status = 200
        with Pulling(call, ends_stream=True):
            while chunk is not END:
                show(call, chunk)
                yield chunk
                chunk = next(source, END)

    async def _opened(self, opening: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """An async stream, once its request was answered."""
        call = None if nested() else self._begin(instance, args, kwargs, streamed=True)
        if call is None:
            return await opening
        source = await await_within(call, opening, hold_of(call, body_of(call, args, kwargs)))
        call.http_status = 200
        return AsyncObserved(source, call, show)

    def _begin(self, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, streamed: bool) -> Call | None:
        with guard_begin:
            method, path, body, options = asked(*args, **kwargs)
            operation, retrieves = operation_asked(google_genai, method, path)
            if operation is not None:
                request = google_genai.read_request(operation, body, option(options, "extra_body"), path)
                if retrieves:
                    request = request._replace(retrieves=True)
                kind = StreamedCall if streamed else Call
                return kind(google_genai, self._recorder, self._clients.of(instance, options), request, streamed)
        return None


def asked(http_method: Any, path: Any, request_dict: Any = None, http_options: Any = None) -> tuple[Any, ...]:
    """The arguments of a request, whichever way they are given."""
    return http_method, path, request_dict, http_options


def body_of(call: Call, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What is asked, where that may be held to a budget."""
    if call.recorder.gate is not None:
        with guard_begin:
            return asked(*args, **kwargs)[2]
    return None


def around_attempt(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of what makes each HTTP request, or is called before it, retries included: `_request_once`, and the
    hooks of the client of interactions."""
    with guard_begin:
        call = inside.get()
        if call is not None:
            call.attempted()
    return wrapped(*args, **kwargs)


def show(call: Call, chunk: Any) -> bool:
    """Take what a chunk says; the app gets to see each."""
    with guard_chunk:
        fields = read_body(chunk)
        if isinstance(call, StreamedCall) and fields is not chunk:
            call.take(fields)
        else:
            call.observe(fields)
        if call.answer.service_tier is None:
            read_tier(call, chunk)
    return True


def read_body(result: Any) -> Mapping[str, object]:
    """What an answer says, as far as it matters: as JSON text, or already parsed by the first versions of the SDK."""
    body = result if isinstance(result, dict) else result.body
    if isinstance(body, str):
        return skim(decode_known, body)
    return body if isinstance(body, dict) else {}


def read_tier(call: Call, result: Any) -> None:
    """The service tier, where only a header tells it."""
    headers = getattr(result, "headers", None) or {}
    told = next((headers[name] for name in TIER_HEADERS if name in headers), None)
    call.answer.service_tier = tier_of(word(told))
