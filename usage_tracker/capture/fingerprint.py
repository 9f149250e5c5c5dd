"""API keys, told apart without being kept."""

import hashlib


def fingerprint(key: object, secret: str) -> str | None:
    """An API key as a keyed hash and its last four characters; None for what is no key."""
    if not isinstance(key, str) or len(key) < 8 or key.startswith("<"):
        return None
    text = key.encode("utf-8", "replace")  # an environment may hold bytes that are no text
    digest = hashlib.blake2b(text, key=secret.encode()[:64], digest_size=8)
    return f"{digest.hexdigest()}…{text.decode()[-4:]}"
