import pytest

from usage_tracker.report.conditions import Condition, parse_condition


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
