"""These tests run where LiteLLM is installed, which is not where the other SDKs are: it wants an older openai."""

import os
import warnings
from pathlib import Path

import pytest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or its import tries to download prices
os.environ["HF_HUB_OFFLINE"] = "1"  # or it looks for tokenizers

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import litellm

litellm.suppress_debug_info = True


def pytest_configure() -> None:
    """After the last test pytest collects once more, and clients left open are found then, too."""
    warnings.filterwarnings("ignore", "unclosed", ResourceWarning)
    warnings.filterwarnings("ignore", category=pytest.PytestUnraisableExceptionWarning)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """LiteLLM's own warnings, of clients that it leaves open and of what it uses that is deprecated, are not ours."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore"), append=False)


@pytest.fixture(autouse=True)
def own_litellm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test sets in the module is gone after it."""
    for name in ("cache", "num_retries", "success_callback"):
        monkeypatch.setattr(litellm, name, getattr(litellm, name))
