"""`usage-tracker doctor`: what is set up, what is wrong, and how to mend it."""

import difflib
import os
import platform
import re
import sys
import textwrap
from collections.abc import Iterator, Sequence

import click

from usage_tracker.cli.doctor_budgets import examine_budgets
from usage_tracker.cli.doctor_export import examine_export
from usage_tracker.cli.doctor_prices import examine_books, examine_data
from usage_tracker.cli.doctor_sdks import examine_sdks
from usage_tracker.cli.doctor_sinks import examine_sinks
from usage_tracker.cli.doctor_spool import examine_spool
from usage_tracker.cli.doctor_store import examine_store
from usage_tracker.cli.figures import counted, printable
from usage_tracker.cli.findings import Finding, Findings
from usage_tracker.cli.hints import repeating
from usage_tracker.cli.options import tell_typed
from usage_tracker.cli.output import emit, room_on_stdout
from usage_tracker.cli.plain import json_document
from usage_tracker.config import PREFIX, Settings, load_piecemeal, load_usable, variable
from usage_tracker.config_file import (
    KEYS,
    ONLY_VARIABLES,
    config_path,
    is_open_to_others,
    read_config,
    with_usable_config,
)
from usage_tracker.errors import ConfigError
from usage_tracker.patching import version_of
from usage_tracker.tracker import choke_points


@click.command(
    help="""Examine settings, store, journal, prices and SDKs; each problem comes with what to do.

    Exit code 5 where there is one.

    Nothing is changed: no migration is applied and no event is moved. With --json, the same for programs: `healthy`,
    the findings one by one, and the facts behind them by section; docs/doctor.md tells what each field means.
    """
)
@click.option(
    "--dsn",
    callback=tell_typed,
    metavar="DSN",
    help="The store; unset: TRACKER_DSN or, without it, an SQLite file in your data folder.",
)
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@click.option("-v", "--verbose", is_flag=True, help="List each place where the installed SDKs are watched.")
def doctor(dsn: str | None, as_json: bool, verbose: bool) -> None:
    findings = examine(dsn, verbose or as_json)
    if as_json:
        lines = [line._asdict() for line in findings.lines]
        emit([json_document(healthy=findings.healthy, findings=lines, **findings.facts)])
    else:
        emit(as_lines(findings.lines))
    if not findings.healthy:
        raise click.exceptions.Exit(5)


def hanging(lead: str, text: str, room: int) -> str:
    """The text behind its lead, broken between words where it has to be; an address or a command, which is there to be
    copied, never is."""
    lines = textwrap.wrap(
        COMMAND.sub(lambda found: found[0].replace(" ", UNBROKEN), printable(text)),
        max(room, len(lead) + NARROWEST),
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines or [lead.rstrip()]).replace(UNBROKEN, " ") + "\n"


COMMAND = re.compile(r"`[^`]*`")
UNBROKEN = "\N{NO-BREAK SPACE}"
NARROWEST = 20


def as_lines(findings: Sequence[Finding]) -> Iterator[str]:
    width = max(len(finding.what) for finding in findings)
    room = room_on_stdout()
    for finding in findings:
        mark = "!" if finding.remedy else " "
        yield hanging(f"{mark} {finding.what:{width}}  ", finding.found, room)
        if finding.remedy:
            yield hanging(f"  {'':{width}}  → ", repeating(finding.remedy), room)
    problems = sum(finding.remedy is not None for finding in findings)
    yield f"\n{counted(problems, 'problem') if problems else 'No problem'} found.\n"


def examine(dsn: str | None, each_place: bool) -> Findings:
    findings = Findings()
    findings.facts["python"] = {"version": platform.python_version(), "executable": sys.executable}
    findings.facts["usage_tracker"] = {"version": version_of("usage-tracker-llm")}
    findings.add("python", f"{platform.python_version()} ({sys.executable})")
    findings.add("usage_tracker", version_of("usage-tracker-llm") or "run from its source")
    usable = examine_config(findings)
    settings = examine_settings(dsn, findings)
    if usable and settings is not None:
        examine_store(settings, findings)
        examine_budgets(settings, findings)
        examine_books(settings, findings)
        examine_sinks(settings, findings)
        examine_export(settings, findings)
    else:
        findings.facts |= {"store": None, "budgets": None, "price_books": [], "sinks": [], "export": None}
        settings = usable_settings(dsn)
    examine_data(findings)
    examine_spool(settings, findings)
    examine_sdks(settings, findings, each_place=each_place)
    return findings


def examine_config(findings: Findings) -> bool:
    """Whether the config file can be used, or there is none."""
    path = config_path()
    facts: dict[str, object] = {"path": str(path), "there": os.path.exists(path), "problem": None}
    findings.facts["config"] = facts
    try:
        said = read_config()
    except ConfigError as error:
        facts["problem"] = str(error)
        findings.add("config", "can't be used", str(error))
        return False
    if said:
        readable = "TRACKER_DSN" in said and is_open_to_others(path)
        remedy = f"chmod 600 {path}: others on this machine can read it" if readable else None
        findings.add("config", f"{path} ({', '.join(name.removeprefix(PREFIX).lower() for name in said)})", remedy)
    return True


def examine_settings(dsn: str | None, findings: Findings) -> Settings | None:
    """None where they can't be used."""
    named = sorted(name for name in os.environ if name.startswith(PREFIX))
    unknown = sorted({*named} - {variable(key) for key in KEYS + ONLY_VARIABLES})
    facts: dict[str, object] = {"variables": named, "unknown": unknown, "problem": None}
    findings.facts["settings"] = facts
    for name in unknown:
        near = difflib.get_close_matches(name.removeprefix(PREFIX).lower(), KEYS + ONLY_VARIABLES, 1)
        meant = f"; did you mean {variable(near[0])}?" if near else ""
        findings.add("settings", f"{name} is no setting, nobody reads it{meant}")
    try:
        settings, left_out = load_usable(dsn=dsn)
    except ConfigError as error:
        facts["problem"] = str(error)
        findings.add("settings", "can't be used", str(error))
        return None
    problems = [("some are left out", sentence) for sentence in left_out]
    settings, sentence = with_known_sdks(settings)
    if sentence is not None:
        problems.append(("can't be used by programs", sentence))
    facts["problem"] = "; ".join(sentence for _, sentence in problems) or None
    for found, sentence in problems:
        findings.add("settings", found, sentence)
    return settings


def usable_settings(dsn: str | None) -> Settings:
    """Those of the settings that can be used, where not all can: they say where a program's events wait."""
    said = dict(with_usable_config())
    settings, _ = with_known_sdks(load_piecemeal(said if dsn is None else {**said, "TRACKER_DSN": dsn}))
    return settings


def with_known_sdks(settings: Settings) -> tuple[Settings, str | None]:
    """Where they name an SDK that is unknown or not installed: with all SDKs, and a sentence that says so."""
    try:
        choke_points(settings)
    except ConfigError as error:
        return settings._replace(sdks=None), str(error)
    return settings, None
