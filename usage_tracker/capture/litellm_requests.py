"""Requests to LiteLLM's proxy, each one call with all that the proxy does for it: attempts at several deployments, its
cache, whichever functions of LiteLLM and other SDKs it uses.

Two tell of a request: the functions of LiteLLM, as in any app, and the proxy's own callback, which knows whom the
request is for and, after the answer, what it cost. They come in either order, and who tells last settles the request.
"""

import time
from collections import deque
from collections.abc import Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, Literal, Self

from usage_tracker.attribution import inside
from usage_tracker.capture.failures import causes
from usage_tracker.capture.fingerprint import fingerprint_of_caller
from usage_tracker.capture.litellm_call import LiteLLMCall, requests, said
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.capture.tracked_proxy import RECORDED_IN
from usage_tracker.event import Status
from usage_tracker.guard import guarded
from usage_tracker.providers import litellm, litellm_asked
from usage_tracker.providers.answer import Answer, fields_of, word
from usage_tracker.providers.hosts import host_of
from usage_tracker.providers.usage_fields import dollars

UNTOLD_SECONDS = 60.0
"""How long after its end a request waits for the proxy's callback, which a busy proxy may leave out."""
MOST_OPEN = 100_000
"""Requests under way, with those that nobody told the end of."""

untold: deque["ProxyRequest"] = deque()
"""Requests that have ended, in that order; some are settled by now."""


class ProxyRequest(LiteLLMCall):
    """A request under way. Its functions' answers end it for the time being: another attempt may follow, and its cost
    is still to be told."""

    def __init__(
        self, recorder: Recorder, call_id: str, operation: str, asked: Mapping[str, Any], key: object, secret: str
    ) -> None:
        """`key`: the proxy's, that it came with."""
        self.call_id = call_id
        self.keeps = recorder
        """What keeps its event, unless a tracked proxy that is asked last keeps that."""
        self.caller = litellm_asked.read_key(key)
        """Whom that key is for."""
        self.caller_key = fingerprint_of_caller(getattr(key, "api_key", None), secret)
        """Not the provider's."""
        self.ended: tuple[Status, str | None, int] | None = None
        """How, with what error, and when by the monotonic clock."""
        self.called = False
        """Whether a function of LiteLLM was called for it, as far as we see those."""
        self.cost: str | None = None
        """What the callback says that it cost, in US dollars."""
        self.several = False
        """Whether it asks several models at once, whose costs the callback tells without saying whose."""
        self.told = False
        """Whether the proxy's callback has told of it."""
        self.told_by: object = None
        """LiteLLM's id of the call within, of which the callback tells instead where another provider's model is asked
        by Gemini's API."""
        request = litellm_asked.paid_by(self.caller, litellm_asked.read_request(operation, asked))
        super().__init__(recorder, self.client_of, asked, request)
        self.client = self.client_of(None, None)  # where to is not known before it goes out
        settle_untold()
        if (other := requests.get(call_id)) is not None:
            other.settle()  # ids may be chosen by who asks
        requests[call_id] = self

    def client_of(self, base: object, key: object) -> Client:
        """Whose key it came with, at that provider."""
        return Client(litellm.SDK, host_of(str(base)) if base else None, api_key=self.caller_key)

    def asking(self, call_id: object) -> None:
        if "contents" in self.asked and isinstance(call_id, str) and call_id not in requests:
            requests.pop(self.told_by, None)
            self.told_by = call_id
            requests[call_id] = self

    def begin_attempt(self, asked: Mapping[str, Any]) -> bool:
        """A function of LiteLLM is called for it; what an earlier attempt said is void. False where another attempt is
        under way: the request asks several models at once, and this one is a call of its own."""
        if self.called and self.ended is None:
            self.several = True
            return False
        self.answer, self.http_status, self.ended, self.ttft = Answer(), None, None, None
        self.chunks = self.last = self.line = self.provider_usage = None
        self.cached, self.called, self.recorder = False, True, self.keeps
        self.served_by = said(asked.get("custom_llm_provider"))
        self.request = self.request._replace(model=word(asked.get("model")) or self.request.model)
        return True

    def __enter__(self) -> Self:
        inside.set(self)  # without a token: attempts may be made in several tasks at once
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Literal[False]:
        inside.set(None)
        if error is not None:
            self.fail(error)
        return False

    def responded(self, response: object, retries: object) -> None:
        if self.ended is None:  # else it is an answer to another callback, which sends something itself
            super().responded(response, retries)

    def read(self, result: object) -> None:
        super().read(result)
        if self.request.operation == "rerank" and (mark := self.recorder.store_mark) is not None:
            # asked for no header by the callback, the proxy sends those that came with the provider's answer
            beside = getattr(result, "_hidden_params", None)
            if isinstance(beside, dict):
                beside["additional_headers"] = {**(beside.get("additional_headers") or {}), RECORDED_IN: mark}

    def note_first(self) -> None:
        super().note_first()
        if self.chunks:  # later the proxy puts its own name of the model in
            self.answer.model = litellm.model_in(self.chunks[0])

    def finish(self, status: Status = "ok", error_type: str | None = None) -> None:
        """Its functions are done with it."""
        if self.ended is None:
            self.ended = status, error_type, time.perf_counter_ns()
            untold.append(self)
        if self.told:
            self.settle()

    def succeeded(self, told: Mapping[str, Any], answer: object) -> None:
        """The callback tells of an answer: `kwargs` and `response_obj` of `async_log_success_event`."""
        with guarded("proxy callback"):
            if not self.called:
                self._take(told, answer)
            cost = told.get("response_cost")
            if isinstance(cost, float | int) and cost > 0 and not self.several:
                self.cost = dollars(cost, Decimal(1))
        self.told = True
        if self.ended is not None or not self.called:
            self.settle()

    def _take(self, told: Mapping[str, Any], answer: object) -> None:
        """All that the callback knows, of what passed none of the functions that we see."""
        base = fields_of(told.get("litellm_params")).get("api_base")
        self.sending(told.get("custom_llm_provider"), base, None)
        self.request = self.request._replace(model=word(told.get("model")) or self.request.model)
        self.streamed = told.get("stream") is True
        self.cached = told.get("cache_hit") is True
        self.observe(fields_of(answer))
        self.ttft = None

    def failed(self, error: BaseException, told: Mapping[str, Any]) -> None:
        """The callback tells that it failed: the proxy gives up, or has turned it away itself."""
        with guarded("proxy callback"):
            if self.ended is None or self.ended[0] == "ok":
                self.ended = None
                self.fail(error)
                if not self.sent:
                    self.http_status = litellm.status_of(causes(error), sent=True)
        self.told = True
        self.settle()

    def _take_stock(self, status: Status) -> None:
        super()._take_stock(status)
        if not self.cached:
            self.answer.reported_cost = self.cost or self.answer.reported_cost

    def settle(self) -> None:
        """Make its event."""
        for call_id in (self.call_id, self.told_by):
            if requests.get(call_id) is self:
                del requests[call_id]
        now = time.perf_counter_ns()
        status, error_type, ended = self.ended or ("ok" if self.told else "abandoned", None, now)
        self.started += now - ended  # what passed since is not its duration
        super().finish(status, error_type)


def settle_untold() -> None:
    """Make the events of those that the callback should have told of by now."""
    latest = time.perf_counter_ns() - int(UNTOLD_SECONDS * 1e9)
    while untold and (untold[0].ended is None or untold[0].ended[2] < latest or untold[0].told):
        ended = untold.popleft()
        if ended.ended is not None:
            ended.settle()
    if len(requests) >= MOST_OPEN:
        requests[next(iter(requests))].settle()


def settle_all() -> None:
    """The proxy ends: make the events of all that is left."""
    for request in list(requests.values()):
        request.settle()
