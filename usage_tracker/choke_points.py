"""Where we touch the SDKs: one row for each function that every call of an SDK goes through, and no other place."""

from typing import NamedTuple


class ChokePoint(NamedTuple):
    """One function of an SDK that every call goes through."""

    sdk: str
    """The SDK's distribution, as pip knows it."""
    module: str
    attribute: str
    """`Class.method` or `function` in that module."""
    style: str
    """The module of `capture` that knows how this SDK is called."""
    role: str
    """Which of that module's wrappers goes around it."""
    optional: bool = False
    """Whether some supported versions of the SDK don't have it, and lose no call by that."""
    formerly: str | None = None
    """What older versions call it."""


STAINLESS = (
    ("SyncAPIClient.request", "request"),
    ("AsyncAPIClient.request", "request"),
    ("SyncAPIClient._process_response", "response"),
    ("AsyncAPIClient._process_response", "response"),
)
"""SDKs that Stainless generates: one function makes the request, another takes the HTTP response."""

STAINLESS_SDKS = (
    ("openai", "openai"),
    ("anthropic", "anthropic"),
    ("cerebras-cloud-sdk", "cerebras.cloud.sdk"),
    ("groq", "groq"),
    ("together", "together"),
)
"""Distribution and package. Those after anthropic's answer in OpenAI's words."""

CHOKE_POINTS = (
    *(
        ChokePoint(sdk, f"{package}._base_client", attribute, "stainless", role)
        for sdk, package in STAINLESS_SDKS
        for attribute, role in STAINLESS
    ),
)
"""All that we ever touch."""
