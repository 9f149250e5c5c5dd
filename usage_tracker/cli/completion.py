"""`usage-tracker completion`: what a shell needs to complete commands, options and their values."""

import click
from click.shell_completion import CompletionItem, get_completion_class

from usage_tracker.cli.output import emit

VARIABLE = "_USAGE_TRACKER_COMPLETE"
"""By it, a shell asks for completions; click reads it."""


@click.command(
    help="""Print the script by which a shell completes commands, options, dimensions and formats.

    \b
    bash   echo 'eval "$(usage-tracker completion bash)"' >> ~/.bashrc
    zsh    echo 'eval "$(usage-tracker completion zsh)"' >> ~/.zshrc
    fish   usage-tracker completion fish > ~/.config/fish/completions/usage-tracker.fish
    """
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    found = get_completion_class(shell)
    assert found is not None, "click knows these shells"
    emit([found(ctx.find_root().command, {}, "usage-tracker", VARIABLE).source()])


def complete_dimensions(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    """The last of several dimensions that are separated by commas."""
    from usage_tracker.report import DIMENSIONS, UNITS

    before, comma, last = typed.rpartition(",")
    chosen = before.split(",")
    return [
        CompletionItem(before + comma + name)
        for name in (*UNITS, *DIMENSIONS)
        if name.startswith(last) and name not in chosen
    ]


def complete_conditions(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    from usage_tracker.report import FILTERS

    return [CompletionItem(f"{name}=") for name in FILTERS if name.startswith(typed)]


def complete_fields(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    from usage_tracker.cli.columns import FIELDS

    before, comma, last = typed.rpartition(",")
    return [CompletionItem(before + comma + name) for name in FIELDS if name.startswith(last)]


def complete_times(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    from usage_tracker.report.ranges import PERIODS

    return [CompletionItem(word) for word in (*PERIODS, "7d", "24h", "all") if word.startswith(typed)]


def complete_earlier(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    earlier = [CompletionItem("previous"), *complete_times(ctx, param, typed)]
    return [item for item in earlier if item.value.startswith(typed) and item.value != "all"]


def complete_zones(_ctx: click.Context, _param: click.Parameter, typed: str) -> list[CompletionItem]:
    from zoneinfo import available_timezones

    return [CompletionItem(zone) for zone in sorted(available_timezones()) if zone.lower().startswith(typed.lower())]


COMPLETED = {
    "by": complete_dimensions,
    "dimension": complete_dimensions,
    "where": complete_conditions,
    "fields": complete_fields,
    "since": complete_times,
    "until": complete_times,
    "during": complete_times,
    "compare": complete_earlier,
    "zone": complete_zones,
    "tz": complete_zones,
}
"""By the names of parameters, whichever command they are of."""


def complete_values(command: click.Command) -> None:
    """Give the command's parameters what they can be completed to."""
    for parameter in command.params:
        if parameter.name in COMPLETED:
            parameter._custom_shell_complete = COMPLETED[parameter.name]
