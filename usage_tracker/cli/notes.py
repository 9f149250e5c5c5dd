"""What a reader of a report has to know to read its figures right, in sentences."""

from collections.abc import Sequence

from usage_tracker.cli.figures import counted, printable
from usage_tracker.report import MOST_EVENTS, Report

MODELS_NAMED = 5


def explain(report: Report) -> list[str]:
    """A sentence for each thing that the figures don't say themselves."""
    total = report.total
    notes = []
    if total.unpriced:
        their = "its" if total.unpriced == 1 else "their"
        why, more = {
            "recorded": (
                f"{calls(total.unpriced, 'is', 'are')} unpriced",
                " `usage-tracker prices unpriced` says why.",
            ),
            "current": (f"{calls(total.unpriced, 'has', 'have')} no price today", ""),
            "reported": (f"{calls(total.unpriced, 'has', 'have')} no cost of {their} provider's", ""),
        }[report.query.cost]
        notes.append(f"{why} ({name_models(report.unpriced_models)}): {their} cost is not in the total.{more}")
    if total.estimated:
        notes.append(f"{calls(total.estimated, 'has', 'have')} estimated tokens: the provider sent no counts.")
    if report.unknown:
        notes.append(f"{calls(report.unknown, 'has', 'have')} unknown tokens, which are not in the sums.")
    if report.contradicting:
        notes.append(
            f"{calls(report.contradicting, 'has', 'have')} counts of tokens that contradict each other: `usage-tracker "
            "events --where flag=sum_mismatch` lists such calls."
        )
    if report.untold:
        they = "it" if report.untold == 1 else "they"
        notes.append(
            f"{calls(report.untold, 'has', 'have')} not said yet what {they} used: "
            f"what {they} started is still at work, or nobody has asked for it."
        )
    if report.total_before is not None and not report.total_before.calls:
        notes.append("No calls were recorded in the range that it is compared with.")
    if report.overlaps:
        of_key = "" if report.query.tag_key is None else f" of {printable(report.query.tag_key)}"
        notes.append(f"A call with several tags{of_key} counts under each of them, and once in the total.")
    if report.without_percentiles:
        notes.append(
            f"p50 and p95 are left out: there is no sketch of them by these dimensions and conditions, and more than "
            f"{MOST_EVENTS:,} events would have to be read. Ask for less at once, or for whole days of UTC by model or "
            "by project."
        )
    return notes


def calls(count: int, one: str, many: str) -> str:
    return f"{counted(count, 'call')} {one if count == 1 else many}"


def name_models(models: Sequence[str | None]) -> str:
    names = ["unknown" if model is None else printable(model) for model in models]
    more = [f"{len(names) - MODELS_NAMED} more"] if len(names) > MODELS_NAMED else []
    return f"{'model' if len(names) == 1 else 'models'}: {', '.join([*names[:MODELS_NAMED], *more])}"
