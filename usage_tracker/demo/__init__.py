"""`usage-tracker demo`: a provider on this machine that speaks OpenAI's API, and a story of calls to it."""
