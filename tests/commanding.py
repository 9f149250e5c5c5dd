"""Commands as they are typed, run within this process."""

from typing import Any

from click.testing import CliRunner, Result

from usage_tracker.cli import main


def invoke(*words: str, **options: Any) -> Result:
    """What `usage-tracker` and these words do. `options`: those of CliRunner.invoke, such as `env` and `input`."""
    return CliRunner().invoke(main, words, **options)
