"""Keys of a proxy that has no database: each stands for somebody. Loaded by the proxy itself."""

from hashlib import sha256
from typing import Any

from fastapi import HTTPException, Request
from litellm.proxy._types import UserAPIKeyAuth

KEYS = {
    "sk-alice-0123456789": {"user_id": "alice", "team_id": "t-1", "team_alias": "search"},
    "sk-bob-0123456789": {"user_id": "bob"},
}


def hashed(key: str) -> str:
    """As the proxy keeps it."""
    return sha256(key.encode()).hexdigest()


async def authorize(request: Request, api_key: str) -> Any:
    """What config.yaml names as `custom_auth`."""
    if api_key not in KEYS:
        raise HTTPException(401, "no such key")
    return UserAPIKeyAuth(api_key=hashed(api_key), **KEYS[api_key])
