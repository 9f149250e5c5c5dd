"""`usage-tracker prices`: what models cost, and the price book, which says it better for some of them."""

from usage_tracker.cli.commands import LazyGroup, Place

COMMANDS = {
    "list": Place(
        "usage_tracker.cli.price_list", "list_prices", "The price book or, with a pattern, all known prices."
    ),
    "show": Place("usage_tracker.cli.price_list", "show", "What a call of a model costs, unit by unit."),
    "set": Place("usage_tracker.cli.price_changes", "set_price", "Give a model a price of your own."),
    "import": Place(
        "usage_tracker.cli.price_changes", "import_book", "Put a file in the place of the store's price book."
    ),
    "unpriced": Place("usage_tracker.cli.price_gaps", "unpriced", "The calls without a cost, and how to price them."),
    "diff": Place("usage_tracker.cli.price_changes", "diff", "What differs between two versions of the price book."),
    "log": Place("usage_tracker.cli.change_log", "price_log", "Who has changed the price book, and how."),
    "update": Place("usage_tracker.cli.price_update", "update", "Take newer data of genai-prices."),
}

prices = LazyGroup(
    "prices",
    places=COMMANDS,
    no_args_is_help=True,
    help="""What models cost, and prices of your own.

    A call is priced by the first that knows its model, as of the call's own time: your price book, a TOML file
    (TRACKER_PRICES) or in the store; the data of genai-prices; LiteLLM's map, where your program uses LiteLLM. Where
    none does, its cost is unknown, and reports say so.

    \b
    Examples:
      usage-tracker prices show gpt-4o
      usage-tracker prices unpriced --since 7d
      usage-tracker prices set 'acme-chat-*' --provider acme --input 2.5 --output 10
      usage-tracker prices set prod-chat --provider azure --model gpt-4o-2024-11-20
      usage-tracker prices list -o toml > book.toml

    The price book is kept in versions, of which none is ever changed: each call tells which one priced it. What was
    priced before keeps its cost.
    """,
)
