"""What docs/attribution.md shows works as it stands there."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from capturing import ASK, Capturing
from celery.signals import before_task_publish, task_postrun, task_prerun

from usage_tracker.attribution import NOBODY, current
from usage_tracker.frameworks.celery import HEADER

GUIDE = (Path(__file__).parent.parent / "docs" / "attribution.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"python", "text"}


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    return [repr(tuple(current.get())).encode()]


@pytest.fixture
def celery_as_before() -> Iterator[None]:
    """What attribute_tasks() connects is for the whole process."""
    yield
    for each in (before_task_publish, task_prerun, task_postrun):
        each.disconnect(dispatch_uid=HEADER)


@pytest.mark.usefixtures("celery_as_before")
def test_the_blocks_run_in_their_order(capturing: Capturing, capsys: pytest.CaptureFixture[str]) -> None:
    question = {"model": "gpt-4o-mini", "messages": ASK}
    names: dict[str, Any] = {"client": capturing.client, "question": question, "application": application}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(text, names)
    assert list(names["answer"](question))
    assert current.get() == NOBODY
    said = [(origin.project, origin.user_id, origin.tags) for origin, _ in capturing.all()]
    assert said == [
        ("support-bot", "u-123", ("tier:pro",)),
        (None, "u-123", ()),
        (None, None, ()),
        (None, None, ()),
        (None, None, ()),
        ("search", None, ()),
    ]
    calls, input_tokens, output_tokens, cost = capsys.readouterr().out.split()
    assert (calls, int(input_tokens) > 0, int(output_tokens) > 0, float(cost) > 0) == ("1", True, True, True)


def test_the_notebooks_lines_are_those_that_there_are() -> None:
    from usage_tracker.frameworks import jupyter

    [lines] = [text for kind, text in BLOCKS if kind == "text"]
    first, *magics = re.findall(r"^%+\w+", lines, re.MULTILINE)
    assert first == "%load_ext"
    assert magics
    assert [magic for magic in magics if magic not in str(jupyter.__doc__)] == []
