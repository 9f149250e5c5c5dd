"""One invocation of a choke point, from its start to its one event."""

from collections.abc import Callable, Container, Mapping, Sequence
from decimal import Decimal
from time import perf_counter_ns, time_ns
from types import ModuleType, TracebackType
from typing import Any, Self

from usage_tracker.attribution import Attribution, Standing, clean_tags, inside, standing
from usage_tracker.capture.admission import Reserved
from usage_tracker.capture.failures import causes, failing_event, http_status_of, retries_before
from usage_tracker.capture.recorder import Client, Recorder
from usage_tracker.capture.shapes import Shapes
from usage_tracker.capture.tracked_proxy import RECORDED_IN
from usage_tracker.event import CallKind, Origin, Status, Told, Usage, UsageEvent
from usage_tracker.guard import guarded
from usage_tracker.once import once
from usage_tracker.providers.answer import Answer, Request, decode_object, fields_of
from usage_tracker.providers.hosts import provider_of
from usage_tracker.providers.told import event_of, retell, told_as_read
from usage_tracker.providers.usage_fields import dollars

Wrapper = Callable[[Any, Any, tuple[Any, ...], dict[str, Any]], Any]
"""What wrapt calls in a function's place: with the function, its instance and its arguments."""


LITELLM_COST = "x-litellm-response-cost"
"""What a LiteLLM proxy says that the call cost, in US dollars; streams have no such header, and a charge within the
answer goes before it. https://docs.litellm.ai/docs/proxy/cost_tracking"""

guard_finish = guarded("finish")

MOST_SAID = 16
"""Pieces of a stream that bring figures; of a stream that has more, they are read as they come."""
CANT_BE_TOLD = (OverflowError, UnicodeEncodeError)
"""What an id or a model raises that is a number beyond any, or no text."""
NOTHING = Usage(input_tokens=0, output_tokens=0)
"""What a provider did that was not asked, because a cache had the answer."""

open_calls: dict[int, "Call"] = {}
"""Calls under way. Taking a call out of here, one atomic step, is what gives it its one event."""


class Call:
    """A call under way. As a context manager it goes around the host's own code: it notes how that ended and swallows
    nothing but the refusal of an option that we added ourselves."""

    # what most calls never change lies in the class: each assignment costs the app's thread
    attempts = 1
    requests = 0
    """HTTP requests that we have seen of it."""
    http_status: int | None = None
    injected = False
    """Whether we asked for the stream's usage on the app's behalf."""
    refused = False
    """Whether the server refused that, so that the call has to be made again without it."""
    ttft: float | None = None
    pulling = False
    """Whether the SDK's own iterator is at work: it decides how the stream ends."""
    pulled_by: Callable[[], Any] | None = None
    """A generator around that iterator, which tells it by itself. Weak: a dropped stream ends by reference counts."""
    parsed = False
    """Whether the SDK reads a stream's events, and raises an error where one says that the stream failed."""
    response: Any = None
    """The last response that has all come, where it was looked at: a client's middleware may ask once more, or the SDK
    fail to make of it what the app wants."""
    received: Mapping[str, Any] | None = None
    """The HTTP response and the retries before it, as long as nobody has looked at them."""
    token: Any = None
    waits = False
    """Whether the SDK's coroutine is awaited, so that the call may be under way where nothing of it is on the stack."""
    reserved: Reserved | None = None
    """What it has taken of budgets before it was made."""
    kind: CallKind | None = None
    """What it has in common with others, where its answer may be kept as it is told."""
    shapes: Shapes | None = None
    """What is known of the classes of its answers."""
    said: list[tuple[Any, ...]] | None = None
    """What was told so far and is not read yet."""
    quiet: Container[type] = ()
    """The classes of a stream's chunks that need no reading any more; see `Shapes.quiet`."""
    latest: Any = None
    """The last chunk of a stream so far."""
    stopped: int | None = None
    """When it ended, where that was before it finishes, as what it used may still come."""

    def __init__(
        self,
        provider: ModuleType,
        recorder: Recorder,
        client: Client,
        request: Request,
        streamed: bool,
        stands: Standing | None = None,
    ) -> None:
        self.provider = provider
        """The module of the provider's extract functions."""
        self.recorder = recorder
        self.client = client
        self.request = request
        self.streamed = streamed
        said, self.meters = standing.get() if stands is None else stands
        # as `Standing.attribution`, whose call would cost the app's thread more than all of this line
        self.attribution: Attribution = said if said.__class__ is Attribution else said.get()  # type: ignore[union-attr]  # only Later is left
        open_calls[id(self)] = self
        self.started_at = time_ns()
        self.started = perf_counter_ns()

    @once
    def answer(self) -> Answer:
        """What was said so far, read."""
        answer = Answer()
        if self.said:
            assert self.kind is not None
            retell(self.provider, answer, self.kind.names, told_as_read(self.said))
        self.said = self.kind = None
        return answer

    def __enter__(self) -> Self:
        try:
            self.token = inside.set(self)
        except BaseException:  # an interrupt, between the two
            inside.set(None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        try:  # noqa: SIM105  `suppress` would cost each call two functions more
            inside.reset(self.token)
        except (RuntimeError, ValueError):
            pass  # tasks share this context, see `is_left`; or it is another one, such as the garbage collector's
        if error is None:
            return False
        with guarded("refusal"):
            if self.injected and getattr(error, "status_code", None) in (400, 422) and self._asked_too_much(error):
                self.refused, self.injected = True, False
                return True
        self.fail(error)
        return False

    def _asked_too_much(self, error: BaseException) -> bool:
        """Whether a request may have been refused for the option that we added ourselves."""
        refuses: bool = self.provider.refuses_usage(self.client.host, self.client.azure, str(error))
        return refuses

    def is_pulled(self) -> bool:
        """Whether the SDK's own iterator is at work."""
        generator = self.pulled_by() if self.pulled_by is not None else None
        return self.pulling or (generator is not None and generator.gi_running)

    def attempted(self) -> None:
        """Note that an HTTP request goes out, where the SDK shows us each one and doesn't count them itself."""
        self.requests += 1
        self.attempts = self.requests

    def look_at_response(self) -> None:
        """Take what the HTTP response says that was put by."""
        if self.received is not None:
            received, self.received = self.received, None
            self.responded(received.get("response"), received.get("retries_taken"))

    def responded(self, response: object, retries: object) -> None:
        """Note the HTTP response that the SDK settled for."""
        status = getattr(response, "status_code", None)
        if isinstance(status, int):
            self.http_status = status
        if isinstance(retries, int):
            self.attempts = retries + 1
        if provider_of(self.client.host, None) is None:  # a proxy's own host; known ones need not be searched
            headers = getattr(response, "headers", {})
            stated = headers.get(LITELLM_COST)
            if stated is not None:
                self.answer.reported_cost = dollars(stated, Decimal(1))
            self.leave_to(headers)

    def leave_to(self, headers: object) -> None:
        """Leave the event to a proxy that says that it has recorded the call where ours would go."""
        mark = headers.get(RECORDED_IN) if isinstance(headers, Mapping) else None
        if mark is not None and mark == self.recorder.store_mark:
            self.recorder = self.recorder.watching

    def observe(self, fields: Mapping[str, object]) -> bool:
        """Take what an answer, or one piece of a stream, says; whether the app would have seen it without us."""
        if self.streamed and self.ttft is None:
            self.ttft = (perf_counter_ns() - self.started) / 1e6
        self.provider.observe(self.answer, fields)
        return not (self.injected and self.provider.is_usage_only(fields))

    def observe_chunk(self, chunk: object) -> bool:
        """As `observe`, with a piece of a stream as the SDK made it. It is kept as it is told, as long as all were
        plain."""
        shapes, kind = self.shapes, type(chunk)
        said = shapes.take(chunk) if shapes is not None and self.kind is not None else None
        if said is None:
            shown = self.observe(fields_of(chunk))
        else:
            if self.ttft is None:
                self.ttft = (perf_counter_ns() - self.started) / 1e6
            shown = not (self.injected and self.provider.is_usage_only(fields_of(chunk)))
            if self.said is None:
                self.said = [said]
            elif len(self.said) < MOST_SAID:
                self.said.append(said)
            else:
                self.provider.observe(self.answer, fields_of(chunk))
        self.latest = chunk
        if shapes is not None and kind not in self.quiet and (self.quiet is shapes.quiet or self._identified(said)):
            shapes.meet(kind)
            self.quiet = shapes.quiet
        return shown

    def _identified(self, said: tuple[Any, ...] | None) -> bool:
        """Whether the model or an id is known: from then on a chunk may say nothing."""
        if said is not None and self.shapes is not None:
            return self.shapes.identifies(said)
        return self.answer.model is not None or self.answer.response_id is not None

    def tell(self, answer: object) -> bool:
        """End with an answer that says all in a few fields, and leave it to who ships to read them. False where it has
        to be read now."""
        ended = perf_counter_ns()
        self.look_at_response()
        kind, shapes = self.kind, self.shapes
        if kind is None or shapes is None or (said := shapes.take(answer)) is None:
            return False
        if open_calls.pop(id(self), None) is not None:
            self._tell(kind, ended, (said,))
        return True

    def _tell(self, kind: CallKind, ended: int, said: Sequence[tuple[Any, ...]]) -> None:
        recorder = self.recorder
        told = (self.started_at, (ended - self.started) / 1e6, self.ttft, self.http_status, self.attempts, said)
        tell = recorder.tell
        if tell is not None and not recorder.listeners and not self.meters and self.reserved is None:
            try:
                tell(kind, told)
            except CANT_BE_TOLD:
                pass  # as it is read now, it can be kept
            else:
                if recorder.gate is not None:
                    recorder.gate.told(kind, told)
                return
        origin, event = event_of(kind, Told(*told[:-1], said=told_as_read(said)))
        recorder.record(origin, event, self.meters)
        if self.reserved is not None:
            self.reserved.settle(origin, event)
            self.reserved.release()

    def fail(self, error: BaseException) -> None:
        """End with the error that the host's code raised."""
        with guarded("error"):
            response = self.response if self.received is None else self.received.get("response")
            self.look_at_response()
            if response is not None and not (self.streamed or self.request.retrieves):
                self._observe_unwanted(response)
            self.http_status = self.status_told_by(error) or self.http_status
            self.attempts = max(self.attempts, self.attempts_told_by(error))
            for cause in causes(error):
                self.leave_to(getattr(vars(cause).get("response"), "headers", {}))
            if self.parsed and (event := failing_event(error)) is not None:
                self.observe(event)
        # what isn't an Exception is no failure of the call: a cancelled task, an interrupt, an exit
        self.finish("error" if isinstance(error, Exception) else "cancelled", type(error).__name__)

    def _observe_unwanted(self, response: Any) -> None:
        """Take what an answer says of which the SDK can't make what the app wants, such as one that was cut short."""
        if response.is_closed and response.is_success:
            self.observe(decode_object(response.content))

    def status_told_by(self, error: BaseException) -> int | None:
        """The HTTP status that the provider answered with."""
        return http_status_of(error)

    def attempts_told_by(self, error: BaseException) -> int:
        """How many HTTP requests there were until it was raised."""
        return 1 + retries_before(error)

    def finish(self, status: Status = "ok", error_type: str | None = None) -> None:
        """Make the event. Whatever comes first counts; ending twice is harmless."""
        if open_calls.pop(id(self), None) is None:
            return
        with guard_finish:
            self.look_at_response()
            if self.latest is not None and hasattr(self.provider, "usage_in_choice"):
                self._look_at_latest(status)
            if status == "ok" and self.said and self.kind is not None:
                self._tell(self.kind, perf_counter_ns(), self.said)
                return
            if not self.request.retrieves or self.answer.completes is not None:
                self._record(self.answer, status, error_type)
        if self.reserved is not None:
            with guarded("settle"):
                self.reserved.release()

    def _look_at_latest(self, status: Status) -> None:
        """Take what only the last chunk tells of a stream, as most chunks pass unread."""
        fields, self.latest = fields_of(self.latest), None
        usage = self.provider.usage_in_choice(fields)
        if usage is not None:
            self.observe({**fields, "usage": usage})
        if status == "abandoned":
            self.answer.partial = self.provider.goes_on(fields)

    def drop(self) -> None:
        """It was not made: no event tells of it."""
        if open_calls.pop(id(self), None) is not None and self.reserved is not None:
            with guarded("settle"):
                self.reserved.release()

    def begin_now(self) -> None:
        """It was held back until now; that is no part of how long it took."""
        self.started_at = time_ns()
        self.started = perf_counter_ns()

    def described(self) -> tuple[Origin, str | None, str]:
        """Who it is for, as far as that is known before it is made; the model asked for; the operation."""
        request, client = self.request, self.client
        origin = self.recorder.origin(client, client.served_by(request.model), self._said())
        return origin, request.model, request.operation

    def made_kind(self, reader: str, names: tuple[str, ...]) -> CallKind:
        """What it has in common with others that ask the same."""
        request = self.request
        return self.recorder.kind(
            self.client, self._said(), reader, request.operation, request.model, self.streamed, names
        )

    def _said(self) -> Attribution:
        request = self.request
        if request.user or request.tags or request.session or request.project or request.team:
            asked = Attribution(request.project, request.team, request.user, request.session, clean_tags(request.tags))
            return self.attribution.over(asked)
        return self.attribution

    def complete(self, part: Answer) -> None:
        """Make an event of a part that counts by itself: one message of a batch that this call retrieves
        (`part.completes` is the batch, `part.response_id` the message), or what a client's middleware asked first."""
        with guarded("part"):
            self._record(part, "ok", None)

    def _record(self, answer: Answer, status: Status, error_type: str | None) -> None:
        ended = self.stopped or perf_counter_ns()
        request, client = self.request, self.client
        if status == "abandoned" and answer.raw is not None and not answer.partial:
            status = "ok"
        if status in ("ok", "abandoned") and answer.error_type is not None:
            status, error_type = "error", answer.error_type
        if status in ("error", "cancelled"):
            answer.error_type = error_type  # what was asked for was not delivered, and so is not counted
        served_by = answer.provider or client.served_by(answer.model or request.model)
        origin = self.recorder.origin(client, served_by, self._said())
        event = UsageEvent(
            started_at=self.started_at,
            duration_ms=(ended - self.started) / 1e6,
            ttft_ms=self.ttft,
            operation=request.operation,
            request_model=request.model,
            model=answer.model,
            service_tier=answer.service_tier,
            streamed=self.streamed,
            response_id=answer.response_id,
            status=status,
            error_type=error_type,
            http_status=self.http_status,
            attempts=self.attempts,
            usage=NOTHING if answer.cached else self.provider.usage_of(request.operation, answer, request),
            raw=answer.raw,
            reported_cost=answer.reported_cost,
            awaits=None if request.retrieves else answer.awaits,
            completes=answer.completes if request.retrieves else None,
            cached=answer.cached,
        )
        if answer.completes is not None and not request.retrieves:
            self.recorder.has_told(answer.completes, answer.response_id)
        self.recorder.record(origin, event, self.meters)
        if self.reserved is not None:
            self.reserved.settle(origin, event)


def finish_open_calls() -> None:
    """At exit: what is still open ends as abandoned."""
    for call in list(open_calls.values()):
        call.finish("abandoned")
