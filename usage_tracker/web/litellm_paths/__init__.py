"""The LiteLLM proxy's addresses for spend, so that scripts and dashboards that were made for it find their figures
here: https://docs.litellm.ai/docs/proxy/cost_tracking. Shapes are those of litellm 1.106.

What the proxy calls a customer or an end user, and an internal user, is our user; an api_key is our fingerprint of it.
What is unknown is 0 here, as their types want a number.
"""

from usage_tracker.web.litellm_paths.activity import daily_activity
from usage_tracker.web.litellm_paths.asked import DAILY_ACTIVITY, SPEND_LOGS, SPEND_REPORT, SPEND_TAGS
from usage_tracker.web.litellm_paths.logs import spend_logs
from usage_tracker.web.litellm_paths.spend import spend_report, spend_tags

__all__ = [
    "DAILY_ACTIVITY",
    "SPEND_LOGS",
    "SPEND_REPORT",
    "SPEND_TAGS",
    "daily_activity",
    "spend_logs",
    "spend_report",
    "spend_tags",
]
