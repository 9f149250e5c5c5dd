from itertools import product
from pathlib import Path

import pytest
from made_events import made_event, store_events
from migrated import migrated

from usage_tracker.conditions import Condition
from usage_tracker.report import Query, list_events, run
from usage_tracker.report.conditions import MOST_CONDITIONS, parse_condition, parse_conditions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("model=gpt-4o", Condition("model", True, "gpt-4o")),
        ("model!=gpt-*", Condition("model", False, "gpt-*")),
        ("tag=key=value", Condition("tag", True, "key=value")),
        ("tag=a!=b", Condition("tag", True, "a!=b")),
        ("project=none", Condition("project", True, None)),
        ("project!=none", Condition("project", False, None)),
        (r"project=\none", Condition("project", True, r"\none")),
        ("user=a\nb", Condition("user", True, "a\nb")),
    ],
)
def test_a_condition_is_a_dimension_an_operator_and_a_pattern(text: str, expected: Condition) -> None:
    assert parse_condition(text) == expected


@pytest.mark.parametrize("text", ["model=gpt-*", "model!=x", "team=none", "team!=none", r"team=\none", r"user=a\*b"])
def test_a_condition_reads_back_as_it_was_written(text: str) -> None:
    assert str(parse_condition(text)) == text


def test_the_word_none_is_written_with_a_backslash() -> None:
    assert parse_condition(str(Condition("team", True, "none"))).literal == "none"


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("gpt-4o", "gpt-4o"),
        (r"a\*b", "a*b"),
        (r"a\\b", r"a\b"),
        ("a\\", "a\\"),
        ("a*", None),
        ("a?", None),
        (r"\none", "none"),
    ],
)
def test_a_pattern_without_wildcards_stands_for_one_value(pattern: str, literal: str | None) -> None:
    assert Condition("model", True, pattern).literal == literal


def test_as_many_conditions_as_one_question_takes_are_understood_and_more_are_refused_with_what_to_do(
    postgres_dsn: str, tmp_path: Path
) -> None:
    texts = [
        f"{name}!={value}{number}"
        for number in range(MOST_CONDITIONS // 8)
        for name, value in product(("app", "model", "tag", "flag"), ("a", "b*"))
    ]
    where = parse_conditions(texts)
    assert len(where) == MOST_CONDITIONS
    same = parse_conditions(f"app!=b{number}*" for number in range(MOST_CONDITIONS))
    for dsn in (postgres_dsn, f"sqlite:///{tmp_path}/usage.db"):
        with migrated(dsn) as store:
            store_events(store, [made_event(app="web", tags=("t",)), made_event(app="b5-1")])
            assert run(store, Query(by=("tag",), where=where, percentiles=True)).total.calls == 1
            assert run(store, Query(by=("app",), where=same)).total.calls == 1
            assert len(list(list_events(store, where=where))) == 1
    with pytest.raises(ValueError, match=r"201 conditions are too many for one question, which takes 200; a pattern"):
        parse_conditions([*texts, "app=web"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("model", "write dimension=value"),
        ("modle=x", "did you mean model?"),
        ("=x", "is not a dimension"),
        ("model =x", "did you mean model?"),
        ("day=2026-08-01", "use --since and --until"),
        ("project=", "project=none finds calls without a project"),
        ("project=a\0b", "no text"),
        ("project=a\udcff", "no text"),
    ],
)
def test_what_is_no_condition_is_an_error_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("?", r"\?")):
        parse_condition(text)
