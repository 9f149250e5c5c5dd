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
            f"{calls(total.unpriced, 'is', 'are')} unpriced ({name_models(report.unpriced_models)}): "
            f"{'its' if total.unpriced == 1 else 'their'} cost is not in the total. "
            "`usage-tracker prices unpriced` says why."
        )
    if total.estimated:
        notes.append(f"{calls(total.estimated, 'has', 'have')} estimated tokens: the provider sent no counts.")
    if (uncounted := total.calls - total.counted - total.awaited) > 0:
        notes.append(f"{calls(uncounted, 'has', 'have')} unknown tokens, which are not in the sums.")
    if report.untold:
        they = "it" if report.untold == 1 else "they"
        notes.append(
            f"{calls(report.untold, 'has', 'have')} not said yet what {they} used: "
            f"what {they} started is still at work, or nobody has asked for it."
        )
    if "tag" in report.query.by and total.calls < sum(row.calls for row in report.rows):
        notes.append("A call with several tags counts under each of them, and once in the total.")
    return notes


def calls(count: int, one: str, many: str) -> str:
    return f"1 call {one}" if count == 1 else f"{count:,} calls {many}"


def name_models(models: Sequence[str | None]) -> str:
    names = ["unknown" if model is None else printable(model) for model in models]
    more = [f"{len(names) - MODELS_NAMED} more"] if len(names) > MODELS_NAMED else []
    return f"{'model' if len(names) == 1 else 'models'}: {', '.join([*names[:MODELS_NAMED], *more])}"
