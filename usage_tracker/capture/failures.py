"""What an SDK's error tells of the requests behind it: the status of the last one, how many were made, and the event of
a stream that says what failed."""

from collections.abc import Iterator, Mapping

from usage_tracker.providers.answer import decode_object, http_status

MOST_CAUSES = 8
"""How far an error is followed back."""


def http_status_of(error: BaseException) -> int | None:
    """The HTTP status that an SDK's error tells of: Google's call it `code`, as others call their own words."""
    # not by getattr: of other libraries' errors these may be properties, which warn when they are read
    told = (vars(error).get(name, getattr(type(error), name, None)) for name in ("status_code", "code"))
    return next(filter(None, map(http_status, told)), None)


def retries_before(error: BaseException) -> int:
    """How many retries preceded the request that failed, by the header that the SDK itself sends with each one: of this
    error, or of those that it came of."""
    return max(retries_of(cause) for cause in causes(error))


def retries_of(error: BaseException) -> int:
    headers = getattr(vars(error).get("request"), "headers", {})
    count = headers.get("x-stainless-retry-count", "0")
    return int(count) if count.isdigit() else 0


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error and what it came of."""
    cause: BaseException | None = error
    for _ in range(MOST_CAUSES):
        if cause is not None:
            yield cause
            cause = cause.__cause__ or cause.__context__


def failing_event(error: BaseException) -> Mapping[str, object] | None:
    """The event for which an SDK that Stainless generates raised its error: it drops the rest of that, the usage up to
    there included. The event lies in the frame that raised, which costs nothing before that. Other frames are not asked
    for their variables: that makes a dict of them which lives on with the frame, and so all that the stream held.
    https://github.com/openai/openai-python/blob/v2.54.0/src/openai/_streaming.py"""
    line = error.__traceback__
    while line is not None:
        frame = line.tb_frame
        if "sse" in frame.f_code.co_varnames:
            text = getattr(frame.f_locals.get("sse"), "data", None)
            if isinstance(text, str) and '"error"' in text:
                return decode_object(text)
        line = line.tb_next
    return None
