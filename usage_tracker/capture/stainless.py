"""How SDKs that Stainless generates (openai, anthropic, groq, …) are called and what they hand back.

Their one choke point is `request(cast_to, options, *, stream, stream_cls)` of the sync and the async base client: every
endpoint, helper, raw or streaming response, Azure client and `with_options` copy goes through it, once for each call,
with retries inside. https://github.com/openai/openai-python/blob/v2.54.0/src/openai/_base_client.py
"""

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import ref

from usage_tracker.attribution import Attribution, Standing, inside, standing
from usage_tracker.capture.admission import Hold, hold_to_await
from usage_tracker.capture.call import Call, Wrapper
from usage_tracker.capture.fingerprint import fingerprint
from usage_tracker.capture.nesting import await_within, nested
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.capture.responses import answered_raw, observe_results
from usage_tracker.capture.shapes import Shapes
from usage_tracker.capture.streams import observe_stream
from usage_tracker.config import Settings
from usage_tracker.event import CallKind
from usage_tracker.guard import guarded
from usage_tracker.providers.answer import Answer, Request, decode_object, fields_of, operation_asked, word
from usage_tracker.providers.hosts import platform_of
from usage_tracker.providers.metadata import FIELDS

guard_begin, guard_answer = guarded("begin call"), guarded("read answer")


SPEAKS = {"cerebras-cloud-sdk": "openai", "groq": "openai", "together": "openai"}
"""SDKs whose API is another's, word for word, and that other's module of `providers`."""

KEYS = ("api_key", "auth_token", "aws_access_key")
"""Where a client keeps what tells who pays."""
KEYLESS = ("_api_key_provider", "_workload_identity_auth")
"""Where it keeps what gives it a token for each request. Its `api_key` is then the last one's, or stands for none."""


def wrappers(sdk: str, recorder: Recorder, settings: Settings) -> Mapping[str, Wrapper]:
    """By role."""
    provider = import_module(f"usage_tracker.providers.{SPEAKS.get(sdk, sdk).replace('-', '_')}")
    around = AroundRequest(sdk, provider, recorder, settings.fingerprint_key, settings.stream_usage)
    return {"request": around.request, "response": around_response}


class Known(NamedTuple):
    """What is known of one of the app's clients, as long as its address and key are the same objects."""

    ref: Callable[[], Any]
    url: object
    key: object
    by_api_key: bool
    """Whether the key is its `api_key`."""
    client: Client


class Asked(NamedTuple):
    """What was made of a request, for those that ask the same."""

    request: Request
    shapes: Shapes
    kind: CallKind
    kinds: object
    """What made that; a forked child's makes its own."""


MOST_ASKED = 4096


class AroundRequest:
    """The wrapper of `request`, for sync and async clients alike: an answer that has to be awaited is."""

    def __init__(
        self, sdk: str, provider: ModuleType, recorder: Recorder, fingerprint_key: str, stream_usage: str
    ) -> None:
        self._sdk = sdk
        self._provider = provider
        self._reader = provider.__name__.rpartition(".")[2]
        self._recorder = recorder
        self._fingerprint_key = fingerprint_key
        self._stream_usage = stream_usage if hasattr(provider, "wants_usage") else "never"
        self._clients: dict[int, Known] = {}
        """By identity, as looking up a weak reference takes a function of Python's."""
        self._asked: dict[object, Asked] = {}
        self._shapes: dict[str, Shapes] = {}
        """By operation."""
        self._refusing: set[str | None] = set()
        """Hosts that don't know stream_options.include_usage."""

    def request(self, wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if inside.get() is not None and nested():
            return wrapped(*args, **kwargs)
        call, asked, hold, sent_args, sent_kwargs = None, None, None, args, kwargs
        with guard_begin:
            options = kwargs["options"] if "options" in kwargs else args[1]
            call = self._begin(instance, options, bool(kwargs.get("stream")))
            if call is not None and call.streamed and self._may_ask_for_usage(call, options):
                asked = asking_for_usage(options)
                call.injected = True
                if "options" in kwargs:
                    sent_kwargs = {**kwargs, "options": asked}
                else:
                    sent_args = (args[0], asked, *args[2:])
        if call is None:
            return wrapped(*args, **kwargs)
        if self._recorder.gate is not None:
            hold = hold_to_await(call, getattr(options, "json_data", None), wrapped)
        result = None
        with call:
            result = wrapped(*sent_args, **sent_kwargs)
        if asked is not None and call.refused:
            with call:
                result = wrapped(*args, **kwargs)
            self._refusing.add(call.client.host)
        elif (call.shapes is None or type(result) not in call.shapes.plain) and hasattr(result, "__await__"):
            # a plain answer isn't asked, which pydantic takes 3 µs to deny
            return self._awaited(call, instance, result, wrapped, args, kwargs, hold)
        with guard_answer:
            answered(call, instance, result)
        return result

    async def _awaited(
        self,
        call: Call,
        instance: Any,
        result: Any,
        wrapped: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        hold: Hold | None,
    ) -> Any:
        result = await await_within(call, result, hold)
        if call.refused:
            with call:
                result = wrapped(*args, **kwargs)
            result = await await_within(call, result)
            self._refusing.add(call.client.host)
        with guard_answer:
            answered(call, instance, result)
        return result

    def _begin(self, instance: Any, options: Any, streamed: bool) -> Call | None:
        # pydantic's attributes and those of named tuples are looked up at length, which is worth 0.2 µs each here
        client, stands, fields = self._client(instance), standing.get(), options.__dict__
        body, url, like = fields["json_data"], fields["url"], None
        if type(url) is str and url[:4] == "http":
            client = at_host(client, url)
        if type(body) is dict and FIELDS.isdisjoint(body) and not fields.get("extra_json"):
            said, model = stands[0], body.get("model")
            if said.__class__ is Attribution and type(model) is str:
                like = (url, model, client, said, streamed, fields["method"])
                asked = self._asked.get(like)
                if asked is not None:
                    request, shapes, kind, kinds = asked
                    if kinds is self._recorder.kind:
                        call = Call(self._provider, self._recorder, client, request, streamed, stands)
                        call.shapes, call.kind = shapes, kind
                        return call
        fresh = self._begin_anew(client, instance, options, streamed, stands)
        if fresh is not None and fresh.shapes is not None and fresh.shapes.names:
            fresh.kind = fresh.made_kind(self._reader, fresh.shapes.names)
            if like is not None and word(model):  # else it may be that of the client's address
                if len(self._asked) >= MOST_ASKED:
                    self._asked.clear()
                self._asked[like] = Asked(fresh.request, fresh.shapes, fresh.kind, self._recorder.kind)
        return fresh

    def _begin_anew(self, client: Client, instance: Any, options: Any, streamed: bool, stands: Standing) -> Call | None:
        url = options.url
        operation, retrieves = operation_asked(self._provider, options.method, url)
        if operation is None:
            return None
        request = self._provider.read_request(operation, options.json_data, getattr(options, "extra_json", None))
        if request.model is None and hasattr(self._provider, "deployment_in"):
            address = url if url.startswith("http") else f"{instance.base_url}{url}"
            request = request._replace(model=self._provider.deployment_in(request.operation, address))
        if retrieves:
            request = request._replace(retrieves=True)
        call = Call(self._provider, self._recorder, client, request, streamed, stands)
        if not retrieves:
            call.shapes = self._shapes.get(operation)
            if call.shapes is None:
                call.shapes = self._shapes[operation] = Shapes(self._provider, operation)
        return call

    def _client(self, instance: Any) -> Client:
        known = self._clients.get(id(instance))
        if known is not None:
            living, url, key, by_api_key, client = known
            same = living() is instance and url is instance._base_url
            if same and key is (instance.api_key if by_api_key else key_of(instance)):
                return client
        return self._know(instance)

    def _know(self, instance: Any) -> Client:
        # the address of the SDK's module-level client may be another one with each call, and is looked up then
        url, key, place, clients = instance.base_url, key_of(instance), id(instance), self._clients
        azure = hasattr(instance, "_azure_deployment") or "azure" in type(instance).__name__.lower()
        keyed = fingerprint(key, self._fingerprint_key)
        client = Client(self._sdk, url.host or None, azure, keyed, platform_of(type(instance)))
        by_api_key = key is not None and key is getattr(instance, "api_key", None)
        # no name of this module in it: a client may go after these, at the interpreter's end
        gone = ref(instance, lambda _: clients.pop(place, None))
        clients[place] = Known(gone, url, key, by_api_key, client)
        return client

    def _may_ask_for_usage(self, call: Call, options: Any) -> bool:
        """Whether the app did not say if it wants the stream's usage, and asking for it won't show."""
        client = call.client
        if self._stream_usage == "never" or client.host in self._refusing:
            return False
        body, more = options.json_data, getattr(options, "extra_json", None)
        if not self._provider.wants_usage(call.request.operation, body, more):
            return False
        return self._stream_usage == "always" or self._provider.sends_usage_when_asked(client.host, client.azure)


@lru_cache(maxsize=256)
def at_host(client: Client, url: str) -> Client:
    """The app's client, where it asks a host of that URL instead of its own."""
    return client._replace(host=urlsplit(url).hostname or client.host)


def key_of(client: Any) -> str | None:
    """What tells who pays: a key, a token that stays the same, or the name of a key."""
    if any(getattr(client, name, None) is not None for name in KEYLESS):
        return None
    for name in KEYS:
        key = getattr(client, name, None)
        if isinstance(key, str):
            return key
    return None


def asking_for_usage(options: Any) -> Any:
    """The same request options, asking for the stream's usage; a copy, the app's stay as they are."""
    asked, body = copy.copy(options), options.json_data
    asked.json_data = {**body, "stream_options": {**(body.get("stream_options") or {}), "include_usage": True}}
    return asked


def around_response(wrapped: Any, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The wrapper of `_process_response`, called once for each call with the HTTP response and the retries it took."""
    call = inside.get()
    if call is not None:
        call.received = kwargs
        asks_again = getattr(instance, "_middleware", None)
        if asks_again or call.kind is None:  # else it has one response, looked at when the call ends
            with guard_answer:
                call.look_at_response()
                earlier, call.response = call.response, whole(kwargs.get("response"))
                if asks_again and earlier is not None and earlier.is_success:
                    ask_again(call, earlier)
    return wrapped(*args, **kwargs)


def whole(response: Any) -> Any:
    """The response, where all of it has come: another would hold its call, and that is kept in it."""
    return response if getattr(response, "is_closed", False) else None


def ask_again(call: Call, earlier: Any) -> None:
    """A client's middleware may ask more than once within a call, such as another model after a refusal: each but the
    last answer is an event by itself. Of streams that it joins, the joined one tells what all of them used.
    https://github.com/anthropics/anthropic-sdk-python/blob/v2.12.0/src/anthropic/lib/middleware/_fallbacks.py"""
    part = Answer()
    call.provider.observe(part, decode_object(earlier.content))
    if part.raw is not None:
        call.complete(part)


def answered(call: Call, client: Any, result: Any) -> None:
    """Read the answer, or watch over it where it is still to come."""
    if call.received is not None and not call.streamed and call.tell(result):  # from a cache there is no response
        return
    call.look_at_response()
    if call.http_status is None and getattr(client, "_middleware", None):
        call.answer.cached = True  # the middleware had it: no response came
    fields: Mapping[str, object] = getattr(result, "__dict__", {})
    if call.request.retrieves and hasattr(call.provider, "read_result"):
        observe_results(result, call)
    elif "response" in fields and ("_iterator" in fields or hasattr(type(result), "_iterator")):
        observe_stream(result, call)
    elif "http_response" in fields or hasattr(type(result), "http_response"):
        answered_raw(call, result.http_response)
    elif "is_closed" in fields:  # the HTTP response itself, as the app wants it of an endpoint that the SDK has not
        answered_raw(call, result)
    elif hasattr(fields.get("response"), "is_closed"):  # what is said aloud, as sound or as events
        answered_raw(call, fields["response"])
    else:
        call.observe(fields_of(result))
        call.finish()
