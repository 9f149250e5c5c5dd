"""How objects of any SDK are read without importing it, and what of a usage object is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from math import inf, nan
from types import MappingProxyType
from typing import Any

import msgspec
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from usage_tracker.providers.answer import fields_of, figures, merge_figures, word


class Typed(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")
    known: int


@dataclass
class Data:
    known: int


class Plain:
    def __init__(self) -> None:
        self.known = 1


class Model(StrEnum):
    SMALL = "small-1"


@pytest.mark.parametrize("value", [{"known": 1}, MappingProxyType({"known": 1}), Typed(known=1), Data(1), Plain()])
def test_the_fields_of_any_kind_of_object_are_read(value: object) -> None:
    assert fields_of(value) == {"known": 1}


def test_fields_that_the_installed_sdk_does_not_know_are_read_too() -> None:
    assert fields_of(Typed.model_validate({"known": 1, "new": {"deep": 2}})) == {"known": 1, "new": {"deep": 2}}


@pytest.mark.parametrize("value", [None, 3, "text", b"bytes", [1], object(), True])
def test_what_has_no_fields_is_empty(value: object) -> None:
    assert fields_of(value) == {}


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("gpt-4o", "gpt-4o"),
        ("  padded ", "padded"),
        (Model.SMALL, "small-1"),
        (42, "42"),
        ("nul\x00 and half a surrogate\ud800", "nul and half a surrogate"),
        ("x" * 300, "x" * 256),
        ("", None),
        (" \n", None),
        (True, None),
        (None, None),
        (1.5, None),
        (10**400, None),
        (object(), None),
        (["a"], None),
    ],
)
def test_a_name_is_short_and_printable_whatever_was_given(value: object, name: str | None) -> None:
    found = word(value)
    assert found == name
    assert found is None or type(found) is str


def test_figures_are_numbers_booleans_and_short_words_at_any_depth() -> None:
    usage = {
        "prompt_tokens": HTTPStatus.OK,
        "queue_time": 0.25,
        "is_byok": False,
        "type": "tokens",
        "details": Typed.model_validate({"known": 3, "more": {"deep": 4}}),
        "models": [{"name": "a", "tokens": 1}, "no figure", {"tokens": 2}],
    }
    assert figures(usage) == {
        "prompt_tokens": 200,
        "queue_time": 0.25,
        "is_byok": False,
        "type": "tokens",
        "details": {"known": 3, "more": {"deep": 4}},
        "models": [{"name": "a", "tokens": 1}, {"tokens": 2}],
    }


def test_what_is_unknown_too_long_private_or_storable_nowhere_is_left_out() -> None:
    usage: dict[str, Any] = {
        "unknown": None,
        "prose": "a sentence that somebody might have written in a prompt, longer than a word",
        "_private": 1,
        "k" * 65: 1,
        "huge": 1 << 63,
        "nothing": nan,
        "endless": inf,
        "empty": {},
        "kept": 1,
    }
    assert figures(usage) == {"kept": 1}
    assert figures({"unknown": None}) is None
    assert figures(None) is None


def test_a_copy_is_kept_since_apps_change_what_they_are_given() -> None:
    usage = {"details": {"cached_tokens": 5}}
    kept = figures(usage)
    usage["details"]["cached_tokens"] = 0
    assert kept == {"details": {"cached_tokens": 5}}


def test_a_later_piece_replaces_figure_by_figure_and_forgets_none() -> None:
    merged = merge_figures(None, {"input": 10, "details": {"cached": 4, "audio": 1}})
    merged = merge_figures(merged, {"output": 2, "details": {"cached": 5}})
    assert merged == {"input": 10, "output": 2, "details": {"cached": 5, "audio": 1}}


def anything() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.builds(object)
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner))


@given(anything())
def test_whatever_a_server_sends_can_be_read_and_encoded(value: object) -> None:
    kept = figures(value)
    assert kept is None or msgspec.msgpack.decode(msgspec.msgpack.encode(kept)) == kept


@pytest.mark.parametrize("nested", [lambda value: value, lambda value: [value], MappingProxyType])
def test_nesting_without_end_ends(nested: Callable[[Any], object]) -> None:
    value: dict[str, Any] = {}
    value["again"], value["count"] = nested(value), 1
    kept: Any = figures(value)
    for _ in range(6):
        kept = kept["again"]
        if isinstance(kept, list):
            (kept,) = kept
    assert kept == {"count": 1}


def test_a_usage_object_is_read_up_to_its_64th_figure() -> None:
    kept = figures({f"figure-{number}": number for number in range(1000)})
    assert kept is not None
    assert len(kept) == 64
