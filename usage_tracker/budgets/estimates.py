"""What a call may use, before it is made: what it asks for at most or, where it doesn't say, what is usual."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from usage_tracker.budgets.budget import Budget
from usage_tracker.budgets.scope import Described
from usage_tracker.budgets.unit_prices import UnitPrices
from usage_tracker.budgets.view import Usual
from usage_tracker.providers.answer import fields_of

MOST_NAMES = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens", "max_tokens_to_sample")
ANSWER_NAMES = ("n", "best_of", "candidate_count", "candidateCount")
"""How many answers are asked for, each as long as that."""
WITHIN = ("generationConfig", "generation_config", "config", "optional_params")
"""Where a request may keep its options."""
CHARACTERS_PER_TOKEN = 3
"""English has four or five; what has fewer (code, other scripts) is why it is three."""
TOKENS_PER_FILE = 1500
"""An image or a file that is sent along."""
ENCODED = re.compile(r"data:|[A-Za-z0-9+/_=-]{4000}")
"""So begins a file that is written as text: in base64 there is no blank."""
DEFAULT_OUTPUT = 4096
"""Where a call doesn't say, and nothing is known of its model."""
GENERATES_NOTHING = frozenset({"embeddings", "rerank", "moderation"})
DEEPEST = 8
MOST_PARTS = 10_000


def estimate(
    budget: Budget, call: Described, body: object, usual: Mapping[str, Usual], prices: UnitPrices
) -> int | None:
    """The whole amount that the call may use of the budget; None: its price is not known."""
    if budget.measure == "calls":
        return 1
    known = usual.get(call.model or "")
    into, out = tokens_asked(body)
    if into == 0 and known is not None:
        into = known.input_tokens
    if call.operation in GENERATES_NOTHING:
        out = 0
    elif out is None:
        out = known.output_tokens if known is not None else DEFAULT_OUTPUT
    if budget.measure == "tokens":
        return into + out
    return prices.estimate(call.origin, call.model, call.operation, into, out)


def tokens_asked(body: object) -> tuple[int, int | None]:
    """The tokens of what is sent, by its length; and the most that may be generated, where the call says so."""
    if isinstance(body, bytes | str):
        fields = object_in(body)
        if not fields:
            return len(body) // CHARACTERS_PER_TOKEN, None
    else:
        fields = fields_of(body)
    if not fields:
        size = getattr(getattr(body, "_pb", None), "ByteSize", None)  # a message of Google's legacy SDK
        return (size() // CHARACTERS_PER_TOKEN if callable(size) else 0), most_asked(getattr(body, "__dict__", {}))
    characters = tokens = 0
    for text in texts_of(fields):
        if not isinstance(text, str):
            tokens += len(text)
        elif ENCODED.match(text):
            tokens += TOKENS_PER_FILE
        else:
            characters += len(text)
    return -(-characters // CHARACTERS_PER_TOKEN) + tokens, most_asked(fields)


def object_in(body: bytes | str) -> Mapping[str, object]:
    """The JSON object that is sent; empty for anything else."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {}
    return found if type(found) is dict else {}


def most_asked(fields: Mapping[str, Any]) -> int | None:
    for place in (fields, *(fields_of(fields.get(name)) for name in WITHIN)):
        for name in MOST_NAMES:
            most = place.get(name)
            if type(most) is int and most >= 0:
                answers = (place.get(each) for each in ANSWER_NAMES)
                return most * max([1, *(count for count in answers if type(count) is int)])
    return None


def texts_of(value: object) -> Iterator[str | Sequence[int]]:
    """All texts within, as strings or as the numbers of their tokens, keys of mappings aside."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    for _ in range(MOST_PARTS):
        if not waiting:
            return
        part, depth = waiting.pop()
        if isinstance(part, str):
            yield part
        elif depth < DEEPEST:
            if isinstance(part, list | tuple) and part and type(part[0]) is int:
                yield part
            elif isinstance(part, list | tuple):
                waiting += [(each, depth + 1) for each in part]
            elif part is not None and not isinstance(part, int | float | bytes):
                waiting += [(each, depth + 1) for each in fields_of(part).values()]
