"""What requests and answers say, by SDK: pure functions on plain JSON, dicts or SDK objects. No SDK is imported.

A module with the name of an SDK reads into the `Request` and the `Answer` of `answer`; docs/adding-a-provider.md lists
its functions. Where figures stand is in `usage_fields`, `anthropic_usage` and `gemini_fields`, who serves in `hosts`,
whom a call is for in `metadata`. Most answers are kept as they were told (`told`), and read by who ships: by what is
known of those like it (`alike`), or many at once (`patterns`, `alike_calls`).
"""
