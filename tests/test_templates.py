"""A usage object that was split for Postgres is put together again to the letter, whatever came before it."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from usage_tracker.stores.dimensions import Known
from usage_tracker.stores.postgres.rows import template_key
from usage_tracker.stores.postgres.templates import split_usage, usage_templates
from usage_tracker.stores.values import json_text

NAMES = st.sampled_from(["input", "output", "50%", "a:5", 'qu"ote', "x,y"])
FIGURE = st.integers(-5, 10**12) | st.floats(allow_nan=True, allow_infinity=True)
ANYTHING = FIGURE | st.none() | st.booleans() | st.sampled_from(["", "3,4", "standard", ":7"]) | st.lists(FIGURE)
PARTS = st.dictionaries(NAMES, FIGURE | ANYTHING, max_size=3)
USAGE: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    NAMES, FIGURE | ANYTHING | PARTS | st.dictionaries(NAMES, PARTS, max_size=2) | st.lists(PARTS, max_size=2)
)


def put_together(template: str, figures: str) -> str:
    """As Postgres does: format(template, VARIADIC string_to_array(figures, ','))."""
    return template % tuple(figures.split(",") if figures else ())


@settings(max_examples=100, deadline=None)
@given(st.lists(USAGE, max_size=4), st.lists(FIGURE, min_size=4, max_size=4))
def test_a_split_object_is_the_same_again(objects: list[dict[str, Any]], figures: list[Any]) -> None:
    usage_templates.clear()
    for raw in objects:
        assert put_together(*split_usage(raw)) == json_text(raw)
        for number in figures:
            alike = {name: number if type(part) in (int, float) else part for name, part in raw.items()}
            assert put_together(*split_usage(alike)) == json_text(alike)


def test_objects_with_the_same_names_share_a_template() -> None:
    usage_templates.clear()
    split = [split_usage({"input": count, "details": {"cached": 0, "audio": count}}) for count in (7, 8)]
    assert split == [('{"input":%s,"details":{"cached":%s,"audio":%s}}', f"{count},0,{count}") for count in (7, 8)]
    assert list(usage_templates.values()) == [split[0][0]]


def test_objects_with_other_names_share_none() -> None:
    usage_templates.clear()
    for raw in (
        {"input": 7},
        {"output": 7},
        {"details": {"input": 7}},
        {"details": {"output": 7}},
        {"more": {"input": 7}},
    ):
        assert put_together(*split_usage(raw)) == json_text(raw)
    assert len(usage_templates) == 5


def test_once_there_are_enough_templates_those_that_are_there_keep_their_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("usage_tracker.stores.postgres.rows.TEMPLATES_AT_MOST", 2)
    known = Known(None)
    known["first",] = 7
    assert template_key(known, ("second",)) == 0, "which is to be added"
    assert template_key(known, ("third",)) is None
    assert [template_key(known, (content,)) for content in ("first", "second")] == [7, 0]
    assert list(known.unknown) == [("second",)]
