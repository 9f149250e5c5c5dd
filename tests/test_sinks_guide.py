"""What docs/sinks.md says to type works as it stands there; only the receivers are on this machine."""

import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

from receivers import Receiver

from usage_tracker import feeding
from usage_tracker.outgoing import sign
from usage_tracker.sink_addresses import parse_sinks
from usage_tracker.sinks import feeder, ledger, opening, posthog, series, sifting, webhook

GUIDE = (Path(__file__).parent.parent / "docs" / "sinks.md").read_text(encoding="utf-8")
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


def test_each_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCKS} == {"sh", "toml", "python"}


def test_the_commands_work_in_their_order(tmp_path: Path) -> None:
    receivers = {
        "posthog://phc_project_key@eu.i.posthog.com": (Receiver(), "posthog+http://phc_project_key@127.0.0.1:{}"),
        "otlp://127.0.0.1:4318": (Receiver(), "otlp://127.0.0.1:{}"),
        "https://billing.example.com/usage": (Receiver(), "http://127.0.0.1:{}/usage"),
    }
    script = "".join(text for kind, text in BLOCKS if kind == "sh")
    for address, (receiver, local) in receivers.items():
        assert address in script
        script = script.replace(address, local.format(receiver.port))
    record = (
        "import usage_tracker; usage_tracker.install(); "
        "usage_tracker.record(provider='openai', model='gpt-4o', input_tokens=7, output_tokens=1)"
    )
    once = "usage-tracker ship --once\n"
    # the sinks are known after the first round, and get what comes then
    script = script.replace(once, f'{once}TRACKER_SINKS= "$PYTHON" -c "{record}"\n{once}', 1)
    environment = {
        **os.environ,
        "PYTHON": sys.executable,
        "TRACKER_DSN": f"sqlite:///{tmp_path}/usage.db",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    done = subprocess.run(
        ["sh", "-eu", "-c", script], check=False, env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "1 event" in done.stdout
    assert "The sink billing is forgotten." in done.stderr
    assert all(len(receiver.posts) == 1 for receiver, _ in receivers.values())
    for receiver, _ in receivers.values():
        receiver.close()


def test_the_config_files_table_names_the_same_sinks() -> None:
    [text] = [text for kind, text in BLOCKS if kind == "toml"]
    named = tuple(f"{name}={address}" for name, address in tomllib.loads(text)["sinks"].items())
    assert [sink.kind for sink in parse_sinks(named)] == ["posthog", "otlp", "webhook"]


def test_a_receiver_knows_a_genuine_post() -> None:
    [program] = [text for kind, text in BLOCKS if kind == "python"]
    found: dict[str, Any] = {}
    exec(program, found)
    signature = sign("secret", b"{}", int(time.time()))
    assert found["is_genuine"]("secret", signature, b"{}")
    assert not found["is_genuine"]("other", signature, b"{}")


def test_names_and_figures_are_those_of_the_code() -> None:
    for name in series.INSTRUMENTS:
        assert f"`{name}`" in GUIDE
    for name in re.findall(r"`(\$ai_\w+)`", GUIDE):
        assert name in Path(posthog.__file__).read_text(encoding="utf-8")
    for made in opening.KINDS.values():
        assert made.extra is None or f"usage-tracker-llm[{made.extra}]" in GUIDE
    assert f"up to {webhook.WebhookSink.most} events" in GUIDE
    assert f"within {ledger.LEASE_SECONDS:.0f} seconds" in GUIDE
    assert f"after {feeder.FIRST_RETRY:.0f} second, " in GUIDE
    assert f"up to {feeder.LONGEST_RETRY / 60:.0f} minutes" in GUIDE
    assert f"about {sifting.MOST_REFUSED} events, and each later one about {sifting.MOST_REFUSED} more" in GUIDE
    assert f"beyond {sifting.MOST_SUSPECTS} of them" in GUIDE
    assert feeding.STAND_BY_SECONDS < ledger.LEASE_SECONDS
