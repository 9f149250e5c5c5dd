"""What LiteLLM's proxy hands on to a provider as it is: `/anthropic`, `/gemini`, `/openai` and the like.

What a provider that we know answers is read on its way to who asked. The proxy's callback tells of it as well, but what
LiteLLM makes of it: for a stream that brings no usage it makes up counts, and what it can't read it tells nobody of. So
the callback adds whom it is for and what it cost, and is believed for other providers alone.
"""

import re
from collections.abc import Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from usage_tracker.capture.call import open_calls
from usage_tracker.capture.litellm_call import requests, said
from usage_tracker.capture.litellm_requests import ProxyRequest
from usage_tracker.capture.responses import answered_raw, observe_results
from usage_tracker.guard import guarded
from usage_tracker.providers import anthropic, google_genai, litellm_asked, openai
from usage_tracker.providers.answer import Request, decode_object, fields_of, operation_asked, word
from usage_tracker.providers.hosts import provider_of
from usage_tracker.providers.metadata import Asked

KNOWN = frozenset(("anthropic", "gemini", "openai"))
"""LiteLLM's names of providers of whose addresses we know all that are billed."""

UNTOLD = re.compile("/transcript|:streamGenerateContent$")
"""Found in addresses of whose answers, where these aren't streams of events, LiteLLM tells nobody: it takes
transcriptions for AssemblyAI's, and can't read a stream of Gemini's that comes as a list.
https://github.com/BerriAI/litellm/blob/main/litellm/proxy/pass_through_endpoints/success_handler.py"""

COUNTING = re.compile("/count[_-]tokens(?::rawPredict)?$")
"""What an address ends with that counts tokens of Claude's, which LiteLLM reads as a message, and fails."""

PUBLISHER = re.compile("/publishers/([^/]+)/models/")
"""Whose model an address of Vertex AI's names."""

handing_on: ContextVar["HandedOn | None"] = ContextVar("usage_tracker_handing_on", default=None)
"""The request that a task of the proxy hands on."""


class Place(NamedTuple):
    """What is asked at a provider's address."""

    provider: ModuleType | None
    """Whose answers it gives; None where we know no such address."""
    operation: str | None
    retrieves: bool
    """Whether it is only asked about what was started earlier."""


def place_at(method: str, url: str) -> Place:
    modules = [anthropic, openai, google_genai]  # whose addresses end as those of a later one may
    address = urlsplit(url)
    if provider_of(address.hostname, None) in ("gemini", "vertex") or address.path.startswith("/v1beta/"):
        modules = [google_genai, anthropic, openai]
    if (publisher := PUBLISHER.search(address.path)) is not None and publisher[1] != "anthropic":
        modules = [google_genai]  # Mistral's models are asked at addresses as Claude is, and answer otherwise
    for module in modules:
        operation, retrieves = operation_asked(module, method, url)
        if operation is not None:
            return Place(module, operation, retrieves)
    return Place(None, None, False)


def asks_none(method: str | None, url: str | None) -> bool:
    """Whether a request to an address that we don't know asks no model, whoever serves."""
    return method == "GET" or COUNTING.search(urlsplit(url or "").path) is not None


class HandedOn(ProxyRequest):
    """A request that is handed on, whatever it is about."""

    asks_model: bool | None = None
    """Whether it asks a model, where its address tells."""
    watched = False
    """Whether what the provider answers is read on its way."""

    def watch(self, response: Any) -> bool:
        """Read what the provider answers. False where that tells of no usage that we know: who asked may know
        better."""
        if id(self) not in open_calls:
            return True  # the callback has told of it, as of what failed
        sent, url = response.request, str(response.request.url)
        provider, operation, retrieves = place_at(sent.method, url)
        if provider is None or operation is None:
            if asks_none(sent.method, url):
                self.forget()  # the callback may never tell of it
            return False
        if provider is google_genai and operation == "batch":  # whose answers lie in a file, or come many at once
            self.forget()
            return False
        if operation != "rerank":  # whose answers are in several words, all of which are read here already
            self.provider = provider
        self.watched, self.called, self.asks_model = True, True, True
        asked = read_asked(provider, operation, {**self.asked, **form_of(sent)}, url)
        asked = litellm_asked.paid_by(self.caller, asked)
        self.request = for_whom(asked, self.request)._replace(retrieves=retrieves)
        self.client = self.client_of(url, None)
        self.streamed = "event-stream" in response.headers.get("content-type", "")
        self.told = not self.streamed and UNTOLD.search(sent.url.path) is not None
        self.responded(response, None)
        if retrieves and provider is anthropic:
            self.request = for_whom(self.request, self.caller)  # as each result is an event at once
            observe_results(response, self)
        else:
            answered_raw(self, response)
        return True

    def forget(self) -> None:
        """It is no call, whatever the callback tells of it."""
        if requests.get(self.call_id) is self:
            del requests[self.call_id]
        self.drop()

    def succeeded(self, told: Mapping[str, Any], answer: object) -> None:
        if self.watched:
            with guarded("proxy callback"):
                self._note(told)
                if self.streamed and self.answer.raw is None:
                    told = {**told, "response_cost": None}  # of counts that LiteLLM made up
        super().succeeded(told, answer)

    def failed(self, error: BaseException, told: Mapping[str, Any]) -> None:
        with guarded("proxy callback"):
            if self.watched:
                self._note(told)
            else:
                self._identify(told)
        super().failed(error, told)

    def _note(self, told: Mapping[str, Any]) -> None:
        """What of a request whose answer is read only the callback knows."""
        self.request = for_whom(self.request, litellm_asked.read_who(self._with_metadata(told)))
        self.request = self.request._replace(model=self.request.model or model_named(told))

    def _take(self, told: Mapping[str, Any], answer: object) -> None:
        self._identify(told)
        fields = fields_of(answer)
        if isinstance(text := fields.get("response"), str):
            fields = decode_object(text)
        super()._take({**told, "model": self.request.model or model_named(told)}, fields)

    def _identify(self, told: Mapping[str, Any]) -> None:
        """What it is, whom it is for, and who serves."""
        self.served_by = said(told.get("custom_llm_provider")) or self.served_by
        sent = fields_of(told.get("passthrough_logging_payload"))
        method, url = word(sent.get("request_method")), word(sent.get("url"))
        _, operation, retrieves = place_at(method, url) if method and url else Place(None, None, False)
        if operation is not None or asks_none(method, url) or (url and self.served_by in KNOWN):
            self.asks_model = operation is not None
        operation = operation or self.request.operation
        request = litellm_asked.read_request(operation, self._with_metadata(told), retrieves=retrieves)
        self.request = litellm_asked.paid_by(self.caller, request)

    def _with_metadata(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """All that was asked; of its metadata only the callback knows."""
        metadata = fields_of(told.get("litellm_params")).get("metadata")
        return self.asked if metadata is None else {**self.asked, "metadata": metadata}

    def settle(self) -> None:
        self.request = for_whom(self.request, self.caller)
        asks_model = self.request.model is not None or self.answer.raw is not None
        if not (asks_model if self.asks_model is None else self.asks_model):
            self.drop()  # it was about files, counted tokens or the like
        super().settle()


def model_named(told: Mapping[str, Any]) -> str | None:
    model = word(told.get("model"))
    return None if model == litellm_asked.UNKNOWN_MODEL else model


def read_asked(provider: ModuleType, operation: str, asked: Mapping[str, object], url: str) -> Request:
    if provider is google_genai:
        return google_genai.read_request(operation, asked, None, url)
    request: Request = provider.read_request(operation, asked, None)
    if provider is openai and request.model is None:
        return request._replace(model=openai.deployment_in(operation, url))
    return request


def form_of(sent: Any) -> dict[str, object]:
    """The fields of a form, which the proxy hands on unread, but for its files."""
    fields = getattr(sent.stream, "fields", ())
    return {field.name: field.value for field in fields if isinstance(getattr(field, "value", None), str)}


def for_whom(request: Request, *who: Request | Asked) -> Request:
    """The request for whom it says; where it doesn't, for whom the first of these says."""
    for each in who:
        missing = {name: getattr(each, name) for name in Asked._fields if not getattr(request, name)}
        request = request._replace(**missing)
    return request
