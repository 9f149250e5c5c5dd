"""The choice of SDKs and versions whose tests are run."""

import sys

import pytest
import sdk_matrix


@pytest.mark.parametrize("name", ["openai==1.40", "opnai"])
def test_what_is_not_in_the_matrix_is_refused(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else CI would be green without a test, once a version that it names has gone from the matrix."""
    monkeypatch.setattr(sys, "argv", ["sdk_matrix.py", "openai==1.40.0", "anthropic", name])
    with pytest.raises(SystemExit):
        sdk_matrix.parse()
    assert f"not in the matrix: {name}" in capsys.readouterr().err
