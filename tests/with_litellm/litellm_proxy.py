"""LiteLLM's real proxy with our callback, started once for all tests; no database, and a local provider."""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

import openai
import pytest
from ports import free_port

from usage_tracker.demo.standin import StandIn
from usage_tracker.dsn import parse_dsn
from usage_tracker.errors import StoreError
from usage_tracker.stores import open_store

PROXY = (sys.executable, "-m", "litellm.proxy.proxy_cli")
START_SECONDS = 240
STORED_SECONDS = 120
CALLBACK = "usage_tracker.frameworks.litellm_proxy.instance"
ALICE, BOB = "sk-alice-0123456789", "sk-bob-0123456789"


def deployment(name: str, model: str, base_url: str, **more: object) -> dict[str, object]:
    said = {"model": model, "api_key": "sk-upstream-0123456789", "api_base": base_url, "max_retries": 0, **more}
    return {"model_name": name, "litellm_params": said}


def configuration(provider: StandIn) -> dict[str, object]:
    here = provider.base_url
    return {
        "model_list": [
            deployment("fast", "openai/gpt-4o-mini", here),
            deployment("vectors", "openai/text-embedding-3-small", here),
            deployment("images", "openai/gpt-image-1", here),
            deployment("ranking", "cohere/rerank-v3.5", provider.url),
            deployment("ours", "openai/our-model", here, input_cost_per_token=0.001, output_cost_per_token=0.002),
            deployment("mocked", "openai/gpt-4o", here, mock_response="Hello there."),
            deployment("refused", "openai/gpt-4o", here, mock_response="litellm.RateLimitError"),
            deployment("gone", "openai/gpt-4o", "http://127.0.0.1:9/v1"),
            deployment("rescue", "openai/gpt-4.1-mini", here),
        ],
        "router_settings": {
            "num_retries": 1, "retry_after": 0, "fallbacks": [{"gone": ["rescue"]}], "disable_cooldowns": True,
        },
        "litellm_settings": {
            "callbacks": CALLBACK,
            "cache": True,
            "cache_params": {"type": "local", "supported_call_types": ["acompletion", "aembedding"]},
        },
        "general_settings": {"custom_auth": "proxy_auth.authorize", "master_key": f"sk-{token_hex(32)}"},
    }  # fmt: skip


class Proxy(NamedTuple):
    url: str
    dsn: str
    provider: StandIn

    def client(self, key: str = ALICE) -> openai.OpenAI:
        return openai.OpenAI(api_key=key, base_url=f"{self.url}/v1", max_retries=0)

    def events(self, tag: str, expected: int = 1) -> list[dict[str, Any]]:
        """The stored events with that tag, once there are so many and none has come in the meantime."""
        deadline, before = time.monotonic() + STORED_SECONDS, -1
        while time.monotonic() < deadline:
            found = self._events(tag)
            if len(found) >= expected and len(found) == before:
                return found
            before = len(found)
            time.sleep(0.5)
        return self._events(tag)

    def one(self, tag: str) -> dict[str, Any]:
        found = self.events(tag)
        assert len(found) == 1, f"{len(found)} events instead of one"
        return found[0]

    def _events(self, tag: str) -> list[dict[str, Any]]:
        with closing(open_store(parse_dsn(self.dsn))) as store:
            try:
                names = [str(name) for _, name, *_ in store.select("SELECT * FROM pragma_table_info('events')")]
                rows = [dict(zip(names, row, strict=True)) for row in store.select("SELECT * FROM events")]
            except StoreError:
                return []
        return [row for row in rows if tag in json.loads(str(row["tags"] or "[]"))]


@pytest.fixture(scope="session")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("proxy")
    with StandIn() as provider:
        port = free_port()
        config = folder / "config.yaml"
        config.write_text(json.dumps(configuration(provider)))  # JSON is YAML
        (folder / "proxy_auth.py").write_text(Path(__file__).with_name("proxy_auth.py").read_text())
        dsn = f"sqlite:///{folder}/usage.db"
        url = f"http://127.0.0.1:{port}"
        output = folder / "output.txt"
        with output.open("wb") as out, subprocess.Popen(
            [*PROXY, "--config", config, "--host", "127.0.0.1", "--port", str(port)],
            env=environment(folder, dsn, provider), cwd=folder, stdout=out, stderr=out,
        ) as process:  # fmt: skip
            try:
                wait_until_up(url, process, output)
                yield Proxy(url, dsn, provider)
            finally:
                process.terminate()


def environment(folder: Path, dsn: str, provider: StandIn) -> dict[str, str]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("TRACKER_", "OPENAI_", "LITELLM_"))
    }
    return {
        **kept,
        "HOME": str(folder),
        "TRACKER_DSN": dsn,
        "TRACKER_BATCH_SECONDS": "0.1",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "OPENAI_API_BASE": provider.url,
        "OPENAI_API_KEY": "sk-upstream-0123456789",
        "PYTHONPATH": os.pathsep.join(str(path) for path in (Path(__file__).parents[2],)),
    }


def wait_until_up(url: str, process: "subprocess.Popen[bytes]", output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/health/liveliness", timeout=5).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"the proxy does not start: {output.read_text()[-2000:]}")
