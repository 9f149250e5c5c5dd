"""What the prices of a price book are called, and what each is the price of."""

TOKEN_KEYS: dict[str, tuple[str, ...]] = {
    "input": ("input_tokens",),
    "output": ("output_tokens",),
    "cache_read": ("cache_read_tokens",),
    "cache_write": ("cache_write_tokens",),
    "cache_write_1h": ("cache_write_1h_tokens",),
    "reasoning": ("output_reasoning_tokens",),
    "input_audio": ("input_audio_tokens",),
    "output_audio": ("output_audio_tokens",),
    "cache_read_audio": ("cache_audio_read_tokens",),
    "input_image": ("input_image_tokens",),
    "output_image": ("output_image_tokens",),
    "cache_read_image": ("cache_image_read_tokens",),
    "input_video": ("input_video_tokens",),
    "output_video": ("output_video_tokens",),
    "cache_read_video": ("cache_video_read_tokens",),
}
"""What a price is called, and what it is the price of: US dollars for a million of them."""
UNIT_KEYS: dict[str, tuple[str, ...]] = {
    "image": ("images",),
    "second": ("audio_seconds", "video_seconds"),
    "character": ("input_characters",),
    "page": ("input_document_pages",),
    "search": ("web_searches",),
    "map_search": ("map_searches",),
    "rerank": ("rerank_searches",),
    "x_search": ("social_searches",),
    "file_search": ("storage_searches",),
    "code_execution": ("code_executions",),
    "request": ("requests",),
}
"""The same, in US dollars for one."""
PRICE_KEYS = {**TOKEN_KEYS, **UNIT_KEYS}
TOOL_KEYS = ("search", "map_search", "x_search", "file_search", "code_execution")
"""Prices of hosted tools, which are billed beside tokens and are no price of a model by themselves."""
