"""What docs/money.md says to type works as it stands there, and what it lists is all that there is."""

import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from usage_tracker.cli.event import FLAGS
from usage_tracker.event import Origin, Usage, UsageEvent
from usage_tracker.pricing import Pricer
from usage_tracker.pricing.reading import read_book

GUIDE = (Path(__file__).parent.parent / "docs" / "money.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
[BOOK] = [text for kind, text in BLOCKS if kind == "toml"]


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"console", "sh", "toml"}
    assert all(line.startswith("$ ") for kind, text in BLOCKS if kind == "console" for line in text.splitlines())


def test_the_commands_work_in_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.toml").write_text(BOOK, encoding="utf-8")
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "200",
    }
    next_block = "\n<next block>\n"
    script = f"printf '{next_block}'\n".join(text for kind, text in BLOCKS if kind == "sh")
    done = subprocess.run(
        ["sh", "-eu", "-c", script], check=False, cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    shown = done.stdout.split(next_block)
    assert re.search(r"input_tokens .* × .* = ", shown[0])
    assert "$0.2 / 1M" in shown[1]
    assert "$1 / 1M" in shown[1], "before the change of its price"
    assert "acme-llm-7b" in shown[2]
    assert "- acme-llm-*" in shown[3]
    assert "contract" not in shown[3]


@pytest.mark.parametrize(
    ("provider", "model", "host", "tier", "tokens", "dollars"),
    [
        ("acme", "acme-chat-1", None, None, 1000, "0.0035"),
        ("acme", "acme-chat-1", None, None, 200_001, "1.001505"),
        ("acme", "acme-chat-1", None, "flex", 1000, "0.00175"),
        ("acme", "acme-chat-1", None, "priority", 1000, "0.007"),
        ("azure", "prod-chat", None, None, 1000, "0.0035"),
        ("azure", "gpt-4o", "acme-eu.openai.azure.com", None, 1000, "0.00385"),
        ("azure", "gpt-4o", "acme-us.openai.azure.com", None, 1000, "0.0035"),
        ("openai", "gpt-4o", None, None, 1000, "0.002975"),
        (
            "bedrock",
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3",
            None,
            None,
            1000,
            "0.0045",
        ),
    ],
)
def test_the_book_means_what_the_guide_says(
    provider: str, model: str, host: str | None, tier: str | None, tokens: int, dollars: str
) -> None:
    event = UsageEvent(
        started_at=1_790_000_000_000_000_000,
        duration_ms=1.0,
        operation="chat",
        request_model=model,
        service_tier=tier,
        usage=Usage(input_tokens=tokens, output_tokens=100),
    )
    pricer = Pricer(books=[read_book(BOOK, "book.toml")])
    assert pricer.price(Origin(provider=provider, sdk="any", base_host=host), event).amount == Decimal(dollars)


def test_every_flag_is_explained() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", GUIDE, re.MULTILINE)) == set(FLAGS)
