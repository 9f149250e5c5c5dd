"""What is said of calls that were pruned, as the command line says it."""

import asyncio

from usage_tracker.cli.pruned import note_on_list, report_note
from usage_tracker.report import Query
from usage_tracker.report.kept import find_kept
from usage_tracker.web.reading import Reader

KEPT_SECONDS = 60.0


async def notes_on_reports(reader: Reader, *queries: Query) -> list[str]:
    """What of their calls is missing in the reports, each said once. Raises NothingYet, TooLong and StoreError."""

    async def note(query: Query) -> str | None:
        return await reader.shared(("pruned", query), lambda store: report_note(store, query))

    found = await asyncio.gather(*map(note, queries))
    return [*dict.fromkeys(filter(None, found))]


async def notes_on_list(reader: Reader, query: Query) -> list[str]:
    """What of its calls can't be listed any more. Raises NothingYet, TooLong and StoreError."""
    note = note_on_list(await reader.shared("kept", find_kept, KEPT_SECONDS), query)
    return [note] if note else []
