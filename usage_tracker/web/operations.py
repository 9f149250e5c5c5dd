"""The HTTP interface as one table: what answers which address, and what may stand in it. Routes and the OpenAPI
document are made of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from usage_tracker.web import api, budgets_api, litellm_paths, metrics
from usage_tracker.web.budget_fields import BudgetBody
from usage_tracker.web.parameters import Parameter
from usage_tracker.web.posting import Body
from usage_tracker.web.shared_pages import Endpoint


class Operation(NamedTuple):
    path: str
    endpoint: Endpoint
    summary: str
    parameters: tuple[Parameter, ...] = ()
    group: str = "usage"
    method: str = "get"
    what: str = "read"
    """What its caller must be allowed to do."""
    answers: Mapping[str, str] = {"application/json": "object"}
    """Media types, and what JSON holds."""
    in_path: Mapping[str, str] = {}
    """The variables of the path, and what they mean."""
    body: Any = None
    missing: bool = False
    """Whether the address may name something that isn't there."""


PROXY = "litellm"
ONE_BUDGET = "/api/v1/budgets/{budget}"
LIST = {"application/json": "array"}

OPERATIONS = (
    Operation(
        "/api/v1/report",
        api.report,
        "Who used what, and what it cost: the document that `usage-tracker report -o json` prints.",
        api.REPORT,
        answers={"application/json": "object", "text/csv": "string"},
    ),
    Operation(
        "/api/v1/events",
        api.events,
        "The calls one by one, the newest first.",
        api.EVENTS,
        answers={"application/json": "object", "application/x-ndjson": "string", "text/csv": "string"},
    ),
    Operation(
        "/api/v1/events/{id}",
        api.event,
        "One call, and how its cost is made up.",
        in_path={"id": "The event's id, or the provider's own id of the answer."},
        missing=True,
    ),
    Operation(
        "/api/v1/events",
        api.post_events,
        "Store calls that other programs made, each once by its event_id, all of a body or none.",
        method="post",
        what="write",
        body=Body,
    ),
    Operation("/api/v1/dimensions", api.dimensions, "What reports can be grouped by and filtered by."),
    Operation(
        "/api/v1/dimensions/{name}/values",
        api.dimension_values,
        "The values that a dimension has, the most expensive first.",
        api.VALUES,
        in_path={"name": "The dimension."},
        missing=True,
    ),
    Operation("/api/v1/budgets", budgets_api.show_budgets, "All budgets: what `budget list -o json` prints."),
    Operation(
        "/api/v1/budget-status",
        budgets_api.show_status,
        "Spent, left and projected of each budget, as `usage-tracker budget status -o json` prints it.",
    ),
    Operation(
        ONE_BUDGET,
        budgets_api.show_budget,
        "The same of one budget, for each of its parts.",
        in_path={"budget": "Its name."},
        missing=True,
    ),
    Operation(
        ONE_BUDGET,
        budgets_api.set_budget,
        "Add a budget, or put it in the place of the one of that name. Only where the server lets admins edit.",
        method="put",
        what="edit",
        in_path={"budget": "Its name."},
        body=BudgetBody,
        missing=True,
    ),
    Operation(
        ONE_BUDGET,
        budgets_api.remove_budget,
        "Remove a budget. Only where the server lets admins edit.",
        method="delete",
        what="edit",
        in_path={"budget": "Its name."},
        missing=True,
    ),
    Operation(
        "/api/v1/changes",
        budgets_api.show_changes,
        "Who has changed budgets and prices, when, and what stood there before and after; the newest first.",
        budgets_api.CHANGES,
    ),
    Operation("/metrics", metrics.show_metrics, "Running totals for Prometheus.", answers={"text/plain": "string"}),
    Operation(
        "/user/daily/activity", litellm_paths.daily_activity, "Spend by day.", litellm_paths.DAILY_ACTIVITY, PROXY
    ),
    Operation("/spend/tags", litellm_paths.spend_tags, "Spend by tag.", litellm_paths.SPEND_TAGS, PROXY, answers=LIST),
    Operation(
        "/global/spend/report",
        litellm_paths.spend_report,
        "Spend by day and team or customer, or by key.",
        litellm_paths.SPEND_REPORT,
        PROXY,
        answers=LIST,
    ),
    Operation(
        "/spend/logs",
        litellm_paths.spend_logs,
        "Spend by day, or the calls one by one.",
        litellm_paths.SPEND_LOGS,
        PROXY,
        answers=LIST,
    ),
)
