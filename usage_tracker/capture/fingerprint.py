"""API keys, told apart without being kept."""

import hashlib
import re

OF_A_PROXY = re.compile("(hashed-jwt-)?[0-9a-f]{64}|litellm_proxy_master_key")
"""How LiteLLM's proxy knows a key in all of its tables: by its hash, or as the one of its configuration."""
SHORTEST_WITH_END = 16
"""Of a shorter key, such as people make up for a gateway of their own, the last four are no small part."""


def fingerprint(key: object, secret: str) -> str | None:
    """An API key as a keyed hash and, of a long one, its last four characters; None for what is no key."""
    if not isinstance(key, str) or len(key) < 8 or key.startswith("<"):
        return None
    text = key.encode("utf-8", "replace")  # an environment may hold bytes that are no text
    digest = hashlib.blake2b(text, key=secret.encode()[:64], digest_size=8)
    end = f"…{text.decode()[-4:]}" if len(key) >= SHORTEST_WITH_END else ""
    return digest.hexdigest() + end


def fingerprint_of_caller(key: object, secret: str) -> str | None:
    """The key that a request to LiteLLM's proxy came with, as the proxy knows it where that tells nobody the key."""
    return key if isinstance(key, str) and OF_A_PROXY.fullmatch(key) else fingerprint(key, secret)
