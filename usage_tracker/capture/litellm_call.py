"""One call of LiteLLM: what it did within until it had an answer, and whose figures the answer's are."""

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from usage_tracker.capture.bodies import said_by
from usage_tracker.capture.call import Call, open_calls
from usage_tracker.capture.failures import causes
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.event import Figures, Origin, Status
from usage_tracker.guard import guarded
from usage_tracker.providers import litellm
from usage_tracker.providers.answer import Answer, Request, decode_object, fields_of, figures
from usage_tracker.providers.hosts import provider_of
from usage_tracker.providers.usage_fields import read_cost

if TYPE_CHECKING:
    from usage_tracker.capture.litellm_requests import ProxyRequest

Clients = Callable[[object, object], Client]
"""Makes a Client of a base URL and an API key, both as anything that an app may write."""

MOST_LAST = 3
"""Chunks that say that a stream has ended: of its end, of usage, and what LiteLLM adds to them."""

requests: dict[object, "ProxyRequest"] = {}
"""Requests to LiteLLM's proxy that are under way in this process, by its id of each."""

guard_stock = guarded("take stock")


def said(name: object) -> str | None:
    return name if isinstance(name, str) and name else None


class LiteLLMCall(Call):
    """A call under way. LiteLLM counts tokens itself where a provider doesn't say what it used; what tells is whether
    the provider's own answer, or a chunk of its stream, holds counts."""

    def __init__(self, recorder: Recorder, clients: Clients, asked: Mapping[str, Any], request: Request) -> None:
        base, key = asked.get("api_base") or asked.get("base_url"), asked.get("api_key")
        super().__init__(litellm, recorder, clients(base, key), request, asked.get("stream") is True)
        self.clients = clients
        self.asked = asked
        """All that the function was called with, by name."""
        self.key = key
        self.served_by = said(asked.get("custom_llm_provider"))
        """LiteLLM's name of the provider."""
        self.sent = False
        """Whether a request went out since the last look into LiteLLM's cache."""
        self.cached = False
        """Whether that had the answer."""
        self.earlier = 0
        """HTTP requests of attempts that failed."""
        self.provider_usage: Figures | None = None
        """What the provider said of an embedding's usage, part of which may come from the cache."""
        self.original: object = None
        """The provider's own answer, of which LiteLLM may leave figures out when it answers in another API's words."""
        self.chunks: list[object] | None = None
        """The chunks of the chat stream within, as LiteLLM keeps them: those of the provider, with their usage."""
        self.last: object = None
        """The last chunk of a chat stream that the app got."""
        self.line: object = None
        """The event of the provider's stream that LiteLLM reads."""

    def described(self) -> tuple[Origin, str | None, str]:
        host, model = self.client.host, litellm.bare_model(self.request.model, self.served_by)
        provider = litellm.provider_named(self.served_by, self.request.model, host) or provider_of(host, model)
        return self.recorder.origin(self.client, provider, self._said()), model, self.request.operation

    def asking(self, call_id: object) -> None:
        """A call of LiteLLM's is made, this one or one within, by LiteLLM's id of it."""

    def sending(self, provider: object, base: object, key: object) -> None:
        """A request goes out."""
        if self.sent:
            self.earlier = self.attempts
            self.attempts += 1
        self.sent, self.cached, self.http_status = True, False, None
        self.served_by = said(provider) or self.served_by
        if base:
            self.client = self.clients(base, self.key or key)

    def responded(self, response: object, retries: object) -> None:
        super().responded(response, retries)
        if isinstance(retries, int):
            self.attempts += self.earlier

    def answered_with(self, original: object) -> None:
        """A provider's own answer, before LiteLLM read it."""
        if self.streamed:
            return
        self.answer.estimated = not litellm.tells_usage(original, self.served_by)
        if self.request.operation == "embeddings":
            self.provider_usage = figures(fields_of(original).get("usage"))
        self.original = original

    def found_in_cache(self, provider: object) -> None:
        self.sent, self.cached = False, True
        self.served_by = said(provider) or self.served_by

    def read(self, result: object) -> None:
        """Take what the function handed back."""
        operation, fields = self.request.operation, fields_of(result)
        if operation != "speech":  # which is sound, and says nothing
            self.observe(fields)
        if self.answer.raw is not None or operation == "speech":
            told = litellm.read_original(operation, fields, self.original)
            if told is not None:
                litellm.take_figures(self.answer, told)
        self.original = None
        self.read_hidden(getattr(result, "_hidden_params", None))

    def read_hidden(self, hidden: object) -> None:
        self.served_by = litellm.observe_hidden(self.answer, hidden) or self.served_by
        if fields_of(hidden).get("cache_hit") is True:
            if self.sent:
                self.answer.raw = self.provider_usage  # the rest of it came from the cache
            else:
                self.cached = True

    def note_first(self) -> None:
        """The app gets the first piece of a stream."""
        self.ttft = (time.perf_counter_ns() - self.started) / 1e6

    def status_told_by(self, error: BaseException) -> int | None:
        return litellm.status_of(causes(error), sent=self.sent)

    def attempts_told_by(self, error: BaseException) -> int:
        return self.earlier + super().attempts_told_by(error)

    def fail(self, error: BaseException) -> None:
        with guard_stock:
            self.served_by = self.served_by or said(getattr(error, "llm_provider", None))
            if isinstance(self.line, str) and '"error"' in self.line:
                self.observe(decode_object(said_by(self.line.encode())))
        super().fail(error)

    def finish(self, status: Status = "ok", error_type: str | None = None) -> None:
        if id(self) in open_calls:
            with guard_stock:
                self._take_stock(status)
        super().finish(status, error_type)

    def _take_stock(self, status: Status) -> None:
        answer = self.answer
        if self.streamed:
            self._read_chunks(status)
        answer.provider = litellm.provider_named(self.served_by, self.request.model, self.client.host)
        asked = litellm.bare_model(self.request.model, self.served_by)
        # a stream from the cache repeats what was asked for
        repeats = self.cached and self.streamed and answer.model == self.request.model
        answer.model = asked if repeats else litellm.answering_model(answer.model, self.served_by, asked)
        self.request = self.request._replace(model=asked)
        if self.cached:
            answer.cached, answer.estimated, answer.partial = True, False, False
            answer.raw = {**(answer.raw or {}), "cache_hit": True}
            answer.reported_cost = "0"

    def _read_chunks(self, status: Status) -> None:
        """What a stream said, once it has ended. Chunks that only bring text are not looked at before."""
        answer, chunks = self.answer, self.chunks or ()
        known = answer.raw is not None
        within = Answer() if known else answer
        told = litellm.observe_chunks(within, chunks)
        if known and self.request.operation in litellm.TRANSLATED:
            litellm.take_figures(answer, within)
        told = told or self.chunks is None or (known and self.last is not None)
        if self.last is not None:
            self._read_last(told)
        if not told:
            answer.estimated = answer.raw is not None
        if status == "ok" or any(map(litellm.has_ended, (self.last, *chunks[-MOST_LAST:]))):
            answer.partial = False
        elif answer.partial or self.chunks is not None or self.last is not None:
            answer.partial = True
            answer.raw = litellm.without_placeholders(answer)

    def _read_last(self, told: bool) -> None:
        """The last chunk that the app got: of the whole stream, or as far as it read."""
        fields, hidden = fields_of(self.last), getattr(self.last, "_hidden_params", None)
        if not told:
            usage = fields.get("usage") or fields_of(hidden).get("usage")
            named = self.answer.model or litellm.model_in(self.last)
            self.observe({**fields, "usage": usage, "model": named})
        self.answer.reported_cost = read_cost(figures(fields.get("usage")) or {}) or self.answer.reported_cost
        self.read_hidden(hidden)


class EarlierAnswer:
    """An answer within a call to which LiteLLM may reply by itself, so that the app gets another one."""

    def __init__(self, call: LiteLLMCall, result: object) -> None:
        self.result = result
        self._call = call
        self._attempts, self._response, self._estimated = call.attempts, call.response, call.answer.estimated

    def complete(self) -> None:
        """Make an event of it, if the model was asked again since."""
        call = self._call
        if call.attempts == self._attempts and not call.cached:
            return
        with guarded("earlier answer"):
            part, asked = Answer(), call.request
            part.estimated = self._estimated
            litellm.observe(part, fields_of(self.result))
            name = litellm.observe_hidden(part, getattr(self.result, "_hidden_params", None)) or call.served_by
            part.provider = litellm.provider_named(name, asked.model, call.client.host)
            model = litellm.bare_model(asked.model, name)
            call.request = asked._replace(model=model)
            part.model = litellm.answering_model(part.model, name, model)
            call.complete(part)
            call.request = asked
            if call.response is self._response:
                call.response = None  # an error is about what came after it
