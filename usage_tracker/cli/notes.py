"""What a reader of a report has to know to read its figures right, in sentences."""

from collections.abc import Sequence

from usage_tracker.cli.figures import printable
from usage_tracker.report import Report

MODELS_NAMED = 5


def explain(report: Report) -> list[str]:
    """A sentence for each thing that the figures don't say themselves."""
    total = report.total
    notes = []
    if total.unpriced:
        notes.append(
            f"{calls(total.unpriced)} unpriced ({name_models(report.unpriced_models)}): "
            f"{'its' if total.unpriced == 1 else 'their'} cost is not in the total."
        )
    if total.estimated:
        notes.append(f"{calls(total.estimated)} counted by an estimate of the tokens, not by the provider.")
    if uncounted := total.calls - total.counted:
        notes.append(f"{calls(uncounted)} without known tokens, which are in no sum.")
    if "tag" in report.query.by and total.calls < sum(row.calls for row in report.rows):
        notes.append("A call with several tags counts under each of them, and once in the total.")
    return notes


def calls(count: int) -> str:
    return "1 call is" if count == 1 else f"{count:,} calls are"


def name_models(models: Sequence[str | None]) -> str:
    names = ["unknown" if model is None else printable(model) for model in models]
    more = [f"{len(names) - MODELS_NAMED} more"] if len(names) > MODELS_NAMED else []
    return f"{'model' if len(names) == 1 else 'models'}: {', '.join([*names[:MODELS_NAMED], *more])}"
