"""Ids that LiteLLM packs together with the name of who has what they name, so that it finds it again."""

import re
from base64 import urlsafe_b64decode
from functools import lru_cache

PACKED = re.compile("(?:resp_|batch_)?(bGl0ZWxsb[0-9A-Za-z_=-]+)")
"""`litellm`, and what follows it, in base64."""
OWN = re.compile("response_id:([^;]+)|llm_batch_id:([^;,]+)|^litellm:([^;]+);model,")


@lru_cache(maxsize=1024)
def provider_id(packed: str | None) -> str | None:
    """The provider's own id of a response or of a batch.
    https://github.com/BerriAI/litellm/blob/2bf8a30c0255/litellm/responses/utils.py,
    https://github.com/BerriAI/litellm/blob/main/litellm/proxy/openai_files_endpoints/common_utils.py"""
    found = PACKED.fullmatch(packed) if packed is not None else None
    if found is None:
        return packed
    try:
        said = urlsafe_b64decode(found[1] + "==").decode()
    except ValueError:
        return packed
    own = OWN.search(said)
    return own[own.lastindex] if own is not None and own.lastindex else packed
