"""LiteLLM's proxy, each of its requests one event, by one line of its config.yaml:

    litellm_settings:
      callbacks: usage_tracker.frameworks.litellm_proxy.instance

Settings come from the environment of the proxy. Who a request is for: the key's team and project, and the user whom it
names itself, else the key's; `api_key` is the proxy's own hash of the key, as in its tables. A request that is turned
away at the door (an unknown key, a spent budget) is no call and no event.
https://docs.litellm.ai/docs/observability/custom_callback, https://docs.litellm.ai/docs/proxy/call_hooks
"""

import atexit
from collections.abc import Mapping
from typing import Any

import httpx
from litellm.integrations.custom_logger import CustomLogger

from usage_tracker import tracker
from usage_tracker.capture.litellm_call import requests
from usage_tracker.capture.litellm_handed_on import HandedOn, handing_on
from usage_tracker.capture.litellm_requests import ProxyRequest, settle_all
from usage_tracker.capture.tracked_proxy import RECORDED_IN
from usage_tracker.guard import guarded
from usage_tracker.providers import litellm_asked


class ProxyCallback(CustomLogger):  # type: ignore[misc]  # LiteLLM is not installed where types are checked
    """What the proxy calls on the way of each request. It changes nothing but one header of the answer."""

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: object, data: dict[str, Any], call_type: str
    ) -> None:
        """A request is about to be answered."""
        with guarded("proxy request"):
            operation, call_id = litellm_asked.operation_requested(call_type), call_id_of(data)
            if operation is not None and isinstance(call_id, str) and tracker.installed is not None:
                recorder, settings = tracker.installed.pipeline().recorder, tracker.installed.settings
                said = (recorder, call_id, operation, data, user_api_key_dict, settings.fingerprint_key)
                if "litellm_call_id" in data:
                    ProxyRequest(*said)
                else:
                    handing_on.set(HandedOn(*said))

    async def async_log_success_event(
        self, kwargs: dict[str, Any], response_obj: object, start_time: object, end_time: object
    ) -> None:
        """A request was answered, and its cost is known."""
        if (request := requests.get(kwargs.get("litellm_call_id"))) is not None:
            request.succeeded(kwargs, response_obj)

    async def async_post_call_failure_hook(
        self,
        request_data: Mapping[str, Any],
        original_exception: Exception,
        user_api_key_dict: object,
        traceback_str: str | None = None,
    ) -> None:
        """A request has failed for good, after all that was tried."""
        if (request := requests.get(call_id_of(request_data))) is not None:
            request.failed(original_exception, request_data)

    async def async_post_call_response_headers_hook(
        self,
        data: object,
        user_api_key_dict: object,
        response: object,
        request_headers: object = None,
        litellm_call_info: object = None,
    ) -> dict[str, str] | None:
        """Tell apps where the request is recorded, so that none that is tracked itself counts it again."""
        with guarded("proxy answer"):
            request = handing_on.get() if isinstance(response, httpx.Response) else None
            recorded = request is None or request.watch(response)
            mark = tracker.installed.pipeline().recorder.store_mark if tracker.installed else None
            return {RECORDED_IN: mark} if recorded and mark is not None else None
        return None


ProxyCallback.__name__ = "_PROXY_usage_tracker"
"""With `_PROXY_` in it, as LiteLLM's own have it that count costs: these are told of requests with `no-log` as well.
https://github.com/BerriAI/litellm/blob/main/litellm/litellm_core_utils/litellm_logging.py (should_run_callback)"""


def call_id_of(data: Mapping[str, Any]) -> object:
    """The proxy's id of a request. Of what it hands on to a provider as it is, only its logging knows it here."""
    logging = data.get("litellm_logging_obj")
    return data.get("litellm_call_id") or getattr(logging, "litellm_call_id", None)


if tracker.installed is None:
    tracker.install_from_environment()
atexit.register(settle_all)  # after the tracker's own, and so before it

instance = ProxyCallback()
"""What config.yaml names."""
