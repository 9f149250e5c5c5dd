"""The table that holds us against other tools is the same wherever it stands, and what it says of us is so."""

import re
from importlib import import_module
from pathlib import Path

import pytest
from capturing import Capturing

from usage_tracker.pricing import Pricer

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")


def written(document: str, name: str) -> str:
    """What the bench wrote there."""
    place = rf"<!-- {name}: written by benchmarks/comparison.py -->\n(.*?)<!-- /{name} -->"
    [text] = re.findall(place, document, re.DOTALL)
    assert isinstance(text, str)
    return text


def rows(table: str) -> dict[str, dict[str, str]]:
    """For what each row tells, what stands in the column of each tool."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line]
    head, _, *rest = lines
    return {row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rest}


def test_the_readme_and_the_guide_have_one_table() -> None:
    assert written(README, "comparison") == written(GUIDE, "comparison")


def test_every_tool_was_run_or_the_guide_says_why_not() -> None:
    for name, version in rows(written(README, "comparison"))["version"].items():
        assert re.match(r"\d+\.\d+|this one", version) or f"\n{name}: " in written(GUIDE, "cases"), name


def test_what_it_says_of_our_own_is_so(capturing: Capturing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    app, bench = import_module("compared"), import_module("comparison")
    capturing.provider.reply = bench.answer
    pricer, right = Pricer(), {"tokens": 0, "cost": 0}
    for case in app.CASES:
        app.ask(capturing.client.with_options(base_url=f"{capturing.provider.url}/{case.name}/v1"), case)
        origin, event = capturing.one_call()
        used = event.usage
        tokens = (used.input_tokens, used.cache_read_tokens, used.output_tokens, used.reasoning_tokens)
        record = bench.Record(tokens, pricer.price(origin, event).amount, event.status == "error")
        right["tokens"] += bench.tokens_cell(case, [record])[1]
        right["cost"] += bench.cost_cell(case, [record])[1]
    said = {told: columns["usage_tracker"] for told, columns in rows(written(README, "comparison")).items()}
    assert said["right about the tokens of a call"] == f"{right['tokens']} of {len(app.CASES)}"
    assert said["right about its cost"] == f"{right['cost']} of {len(app.CASES)}"
    assert said[f"of {app.CALLS} calls, lost by a `kill -9` right after"] == "0"
