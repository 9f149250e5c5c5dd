"""What the stand-in provider makes up: text, ids and figures that depend on nothing but the request."""

import json
import random
import time
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

from usage_tracker.demo.exchange import Asked, Json

SNAPSHOTS = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-4.1-nano": "gpt-4.1-nano-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "gpt-5-nano": "gpt-5-nano-2025-08-07",
    "o3-mini": "o3-mini-2025-01-31",
    "o4-mini": "o4-mini-2025-04-16",
    "omni-moderation-latest": "omni-moderation-2024-09-26",
}
"""The dated model that answers where its alias is asked for."""

REASONING_MODELS = ("gpt-5", "o1", "o3", "o4")
WORDS = (
    "the order was shipped on Monday and its refund is on the way because our records show one payment while two were "
    "expected please confirm address invoice number before we close this request thank you for your patience"
).split()
IMAGE_TOKENS = 765
FEWEST_CACHED = 1024
"""Prompts are cached from this length on, in steps of 128: https://platform.openai.com/docs/guides/prompt-caching"""


class Invention:
    """A source of made-up things. The same request invents the same, except for ids, which are unique."""

    def __init__(self, asked: Asked, number: int, seed: int) -> None:
        request = json.dumps([seed, asked.path, asked.body], sort_keys=True, default=len)
        digest = blake2b(request.encode(), digest_size=8).digest()
        self._random = random.Random(digest)  # noqa: S311  nobody depends on its being unpredictable
        self._digest = digest.hex()
        self._number = number
        self.now = int(time.time())

    def id(self, prefix: str) -> str:
        """An id that no other answer of this server has."""
        self._number += 1_000_000
        return f"{prefix}{self._number:x}{self._digest}"

    def between(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def text(self, most_tokens: int | None = None) -> str:
        """A sentence or a few, cut off where so many tokens are reached."""
        words = [self._random.choice(WORDS) for _ in range(self.between(12, 160))]
        return (" ".join(words).capitalize() + ".")[: 4 * most_tokens if most_tokens else None]

    def numbers(self, count: int) -> list[float]:
        return [round(self._random.uniform(-1, 1), 6) for _ in range(count)]

    def cached(self, prompt_tokens: int) -> int:
        """How much of the prompt was in the provider's cache."""
        if prompt_tokens < FEWEST_CACHED or self.between(0, 3) == 0:
            return 0
        return prompt_tokens // 128 * 128

    def reasoning(self, model: str) -> int:
        return 64 * self.between(1, 24) if model.startswith(REASONING_MODELS) else 0


def answering_model(asked: Asked) -> str:
    """The model that the answer names."""
    if asked.azure and asked.model not in SNAPSHOTS:
        return "text-embedding-3-small" if asked.endpoint == "embeddings" else SNAPSHOTS["gpt-4o"]
    return SNAPSHOTS.get(asked.model, asked.model)


def count_tokens(content: object) -> int:
    """A fair guess at the tokens of text, or of the parts of a message."""
    if isinstance(content, str):
        return (len(content) + 3) // 4
    if isinstance(content, Mapping):
        if "image_url" in content:
            return IMAGE_TOKENS
        return sum(count_tokens(part) for name, part in content.items() if name not in ("type", "role", "detail"))
    if isinstance(content, list):
        if content and all(isinstance(part, int) for part in content):
            return len(content)
        return sum(count_tokens(part) for part in content)
    return 0


def sample(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """A value that fits a JSON schema, such as the one of a structured output."""
    root = root or schema
    if reference := schema.get("$ref"):
        return sample(root["$defs"][reference.rsplit("/", 1)[-1]], root)
    for name in ("anyOf", "oneOf", "allOf"):
        if name in schema:
            return sample(schema[name][0], root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    kind = schema.get("type", "string")
    if kind == "object":
        fields: Json = {name: sample(part, root) for name, part in schema.get("properties", {}).items()}
        return fields
    if kind == "array":
        return [sample(schema.get("items", {}), root)]
    return {"integer": 7, "number": 7.5, "boolean": True, "null": None}.get(str(kind), "refund")
