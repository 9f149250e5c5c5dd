"""`usage-tracker budget`: what may be spent, by whom, and what happens then."""

from usage_tracker.cli.commands import LazyGroup, Place

COMMANDS = {
    "set": Place("usage_tracker.cli.budget_changes", "set_one", "Add a budget, or change one."),
    "list": Place("usage_tracker.cli.budget_status", "list_all", "All budgets, and what each does at its limit."),
    "show": Place("usage_tracker.cli.budget_status", "show", "One budget, and who has used how much of it."),
    "status": Place("usage_tracker.cli.budget_status", "status", "Spent, left, and when each will be used up."),
    "check": Place("usage_tracker.cli.budget_status", "check_all", "Exit 3 where a budget is used up; for CI."),
    "alerts": Place("usage_tracker.cli.budget_alerts", "alerts", "What was alerted, and whether alerts arrive."),
    "log": Place("usage_tracker.cli.change_log", "budget_log", "Who has changed which budget, and how."),
    "rm": Place("usage_tracker.cli.budget_changes", "remove", "Remove a budget."),
}

budget = LazyGroup(
    "budget",
    places=COMMANDS,
    no_args_is_help=True,
    help="""What may be spent, by whom, and what happens then.

    A budget is a limit in dollars, tokens or calls on all calls that meet its conditions, in a window of time. At its
    limit it sends an alert, holds calls back, or refuses them: they raise BudgetExceeded before a request is made.
    Budgets are kept in the store; programs that run follow a change within seconds.

    \b
    Examples:
      usage-tracker budget set frontend --where team=frontend --limit 100 --per month --soft 80%
      usage-tracker budget set --each user --limit 5 --per day --on-limit block
      usage-tracker budget set --where 'model=gpt-4*' --limit '2M tokens' --per 24h --on-limit throttle
      usage-tracker budget set --each api_key --limit '60 calls' --per minute --on-limit throttle
      usage-tracker budget status
      usage-tracker budget check frontend && make evaluation
    """,
)
