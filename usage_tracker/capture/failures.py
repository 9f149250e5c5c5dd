"""What an SDK's error tells of the requests behind it: the status of the last one, and how many were made."""

from collections.abc import Iterator

MOST_CAUSES = 8
"""An error is followed back to here."""


def http_status_of(error: BaseException) -> int | None:
    """The HTTP status that an SDK's error tells of: Google's call it `code`, as others call their own words."""
    # not by getattr: of other libraries' errors these may be properties, which warn when they are read
    told = (vars(error).get(name, getattr(type(error), name, None)) for name in ("status_code", "code"))
    return next((int(status) for status in told if isinstance(status, int) and 100 <= status <= 599), None)


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
