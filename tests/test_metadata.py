"""Who a request says it is for, in every place where users of today's SDKs and gateways say it."""

import pytest
from openai import NOT_GIVEN

from usage_tracker.providers.metadata import NOBODY, Asked, read_asked

PROMPT = "please summarise my medical record"


def test_columns_are_filled_from_metadata_and_the_rest_is_tags() -> None:
    metadata = {"session_id": "s-1", "project": "alpha", "team_id": "search", "tier": "pro", "build": 7}
    assert read_asked({"user": "u-1", "metadata": metadata}) == Asked(
        "u-1", "s-1", "alpha", "search", ("tier:pro", "build:7")
    )


@pytest.mark.parametrize(
    ("body", "user", "session"),
    [
        ({"user": "u-1", "safety_identifier": "hash", "metadata": {"user_id": "u-2"}}, "u-1", None),
        ({"safety_identifier": "hash", "metadata": {"user_id": "u-2"}}, "u-2", None),
        ({"safety_identifier": "hash"}, "hash", None),
        ({"user": 42}, "42", None),
        ({"metadata": {"langfuse_user_id": "u-3", "langfuse_session_id": "s-3"}}, "u-3", "s-3"),
        ({"litellm_session_id": "s-4", "litellm_metadata": {"trace_user_id": "u-4"}}, "u-4", "s-4"),
        ({"session_id": "s-5", "metadata": {"session": "s-6"}}, None, "s-5"),
        ({"conversation": "conv_1"}, None, "conv_1"),
        ({"conversation": {"id": "conv_2"}}, None, "conv_2"),
    ],
)
def test_what_was_said_plainly_goes_before_what_was_hashed_or_nested(
    body: dict[str, object], user: str | None, session: str | None
) -> None:
    asked = read_asked(body)
    assert (asked.user, asked.session) == (user, session)


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"tags": ["job:7", "nightly", "job:7"]}},
        {"litellm_metadata": {"tags": ("job:7", "nightly")}},
        {"metadata": {"langfuse_tags": ["job:7", "nightly"]}},
        {"tags": ["job:7", "nightly"]},
        {"metadata": {"job": 7}, "tags": ["job:7", "nightly"]},
        {"metadata": {"tags": "job:7, nightly"}},  # at OpenAI, values of metadata are texts
    ],
)
def test_tags_are_listed_as_litellms_users_list_them(body: dict[str, object]) -> None:
    assert read_asked(body).tags == ("job:7", "nightly")


def test_what_differs_with_every_call_is_no_tag() -> None:
    assert read_asked({"metadata": {"trace_id": "t-77", "request_id": "r-1"}}) == NOBODY


@pytest.mark.parametrize(
    "body",
    [
        {"messages": [{"role": "user", "content": PROMPT}], "input": PROMPT},
        {"metadata": {"note": f"{PROMPT}\n{PROMPT}"}},
        {"metadata": {"note": PROMPT * 10}},
        {"metadata": {"tags": [f"{PROMPT}\n"], "nested": {"text": PROMPT}}},
        {"metadata": {"tags": f"{PROMPT}, " * 10}},
    ],
)
def test_nothing_of_a_prompt_is_kept(body: dict[str, object]) -> None:
    assert read_asked(body) == NOBODY


@pytest.mark.parametrize("nothing", [None, NOT_GIVEN, True, 1.5, [], {}, {1: [2]}, "", "\x00"])
def test_what_is_no_name_says_nothing(nothing: object) -> None:
    names = ("user", "safety_identifier", "conversation", "metadata", "litellm_metadata", "tags", "session_id")
    assert read_asked(dict.fromkeys(names, nothing)) == NOBODY


def test_a_tag_has_128_characters_at_most() -> None:
    assert read_asked({"tags": ["x" * 128, "y" * 129]}).tags == ("x" * 128,)


def test_tags_have_an_end() -> None:
    assert len(read_asked({"tags": [f"tag-{number}" for number in range(1000)]}).tags) == 64
