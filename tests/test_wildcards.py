"""What patterns with `*` and `?` are met by, and that it takes no time to say so."""

import random
import re
import time

from usage_tracker.wildcards import expression


def meets(pattern: str, text: str) -> bool:
    """By its definition: each `*` may stand for any start of what is left."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(meets(pattern[1:], text[place:]) for place in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and meets(pattern[1:], text[1:])


def test_a_pattern_is_met_by_what_it_stands_for() -> None:
    chance = random.Random(4)
    for _ in range(3000):
        pattern = "".join(chance.choices("ab.*?", k=chance.randint(0, 7)))
        text = "".join(chance.choices("aab.\n", k=chance.randint(0, 8)))
        found = re.fullmatch(expression(pattern), text, re.DOTALL)
        assert (found is not None) == meets(pattern, text), (pattern, text)


def test_a_long_name_takes_no_longer_where_there_are_many() -> None:
    start = time.process_time()
    assert re.fullmatch(expression("*-*-*-*-x"), "-" * 500, re.DOTALL) is None
    assert time.process_time() - start < 1
