"""What went wrong, for programs: RFC 9457, `application/problem+json`."""

import json
from http import HTTPStatus

from starlette.responses import Response


class Problem(Exception):
    """An answer that says why there is none."""

    def __init__(
        self, status: int, detail: str, *, parameter: str | None = None, retry_after: int | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.parameter = parameter
        self.retry_after = retry_after


def as_response(problem: Problem) -> Response:
    document = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        **({"parameter": problem.parameter} if problem.parameter else {}),
    }
    headers = {} if problem.retry_after is None else {"Retry-After": str(problem.retry_after)}
    if problem.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="usage-tracker"'
    return Response(
        json.dumps(document) + "\n", status_code=problem.status, media_type="application/problem+json", headers=headers
    )
