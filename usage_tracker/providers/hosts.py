"""Who serves a model: known by the host that was called or, behind a gateway or a local server, by a model name that
only one vendor has. Anything else is unknown, because an invented price is worse than none.

genai-prices knows each of these names that it has prices for, by its id or by its `provider_match`:
https://github.com/pydantic/genai-prices/tree/main/prices/providers
"""

import re
from fnmatch import fnmatchcase
from functools import lru_cache
from urllib.parse import urlsplit

HOSTS: dict[str, tuple[str, ...]] = {
    "ai21": ("api.ai21.com",),
    "alibaba": ("dashscope.aliyuncs.com", "dashscope-*.aliyuncs.com", "*.maas.aliyuncs.com"),
    "anthropic": ("api.anthropic.com",),
    "arcee": ("api.arcee.ai",),
    "avian": ("api.avian.io",),
    "azure": (
        "*.openai.azure.com",
        "*.openai.azure.us",
        "*.openai.azure.cn",
        "*.cognitiveservices.azure.com",
        "*.services.ai.azure.com",
        "*.models.ai.azure.com",
        "*.inference.ml.azure.com",
    ),
    "baseten": ("inference.baseten.co", "*.api.baseten.co"),
    "bedrock": ("bedrock-*.amazonaws.com", "bedrock-*.amazonaws.com.cn", "bedrock-*.api.aws"),
    "cerebras": ("api.cerebras.ai",),
    "cloudflare": ("api.cloudflare.com",),
    "cohere": ("api.cohere.ai", "api.cohere.com"),
    "crusoe": ("*.crusoecloud.com",),
    "databricks": ("*.cloud.databricks.com", "*.azuredatabricks.net", "*.gcp.databricks.com"),
    "deepinfra": ("api.deepinfra.com",),
    "deepseek": ("api.deepseek.com",),
    "doubleword": ("api.doubleword.ai",),
    "fireworks": ("api.fireworks.ai",),
    "gemini": ("generativelanguage.googleapis.com",),
    "github": ("models.github.ai", "models.inference.ai.azure.com"),
    "github-copilot": ("api.githubcopilot.com", "api.*.githubcopilot.com"),
    "groq": ("api.groq.com",),
    "heroku": ("*.inference.heroku.com",),
    "huggingface": ("router.huggingface.co", "api-inference.huggingface.co", "*.endpoints.huggingface.cloud"),
    "hyperbolic": ("api.hyperbolic.xyz",),
    "meta": ("api.meta.ai", "api.llama.com"),
    "minimax": ("api.minimax.io", "api.minimax.chat", "api.minimaxi.com"),
    "mistral": ("api.mistral.ai", "codestral.mistral.ai"),
    "moonshotai": ("api.moonshot.ai", "api.moonshot.cn"),
    "nebius": ("api.studio.nebius.ai", "api.studio.nebius.com", "api.tokenfactory.nebius.com"),
    "novita": ("api.novita.ai",),
    "nvidia": ("integrate.api.nvidia.com",),
    "ollama": ("ollama.com",),
    "openai": ("api.openai.com", "*.api.openai.com"),
    "openrouter": ("openrouter.ai", "*.openrouter.ai"),
    "ovhcloud": ("*.ai.cloud.ovh.net",),
    "perplexity": ("api.perplexity.ai",),
    "quicksilverpro": ("api.quicksilverpro.io",),
    "sambanova": ("api.sambanova.ai",),
    "snowflake": ("*.snowflakecomputing.com",),
    "together": ("api.together.xyz", "api.together.ai"),
    "typesafe": ("api.typesafe.ai",),
    "vertex": ("aiplatform.googleapis.com", "*-aiplatform.googleapis.com", "aiplatform.*.googleapis.com"),
    "voyageai": ("api.voyageai.com",),
    "xai": ("api.x.ai", "*.api.x.ai"),
    "zai": ("api.z.ai",),
    "zhipuai": ("open.bigmodel.cn",),
}
"""The hosts of each provider; `*` stands for a region, an account or a deployment. Gateways that pass calls on at the
vendor's price (LiteLLM, Vercel, Portkey, Cloudflare's AI Gateway, Helicone) are left out: there the model tells."""

MODELS: dict[str, str] = {
    "openai": r"""(ft:)?(
        gpt-(3\.5|4o|[4-9]|[4-9]\.\d) ($|:|-(?!all|x-)) | gpt-(audio|image|live|realtime|transcribe) ($|-)
        | chatgpt-(\d|image-) | gpt-chat-latest$
        | o[134] ($|:|-(mini|pro|preview|deep-research|\d{4})) | (davinci|babbage)-002 ($|:)
        | computer-use-preview | codex-mini | sora-\d | dall-e-[23]$ | tts-1 | whisper-1$
        | text-embedding-(3-|ada-002$) | (omni|text)-moderation-
        )""",
    "anthropic": r"claude-",
    "gemini": r"gemini-",
    "bedrock": r"([a-z]{2,6}\.)?(anthropic\.claude|amazon\.(nova|titan))-",
    "xai": r"grok-(3|4|5|code|imagine)",
    "perplexity": r"sonar($|-(pro|reasoning|deep-research))",
}
"""Models that only their vendor serves, or others at the vendor's price. Open weights (gpt-oss, llama, mistral,
deepseek, gemma, grok-1 and -2) are served by anybody at any price, so their names tell nothing."""

ROUTES = {
    "azure": "azure",
    "azure_ai": "azure",
    "bedrock": "bedrock",
    "openrouter": "openrouter",
    "vertex_ai": "vertex",
}
"""What LiteLLM's proxy puts before a model's name to say who serves it: https://docs.litellm.ai/docs/providers"""

VENDORS = {
    "anthropic": "anthropic",
    "gemini": "gemini",
    "google": "gemini",
    "models": "gemini",
    "openai": "openai",
    "perplexity": "perplexity",
    "x-ai": "xai",
    "xai": "xai",
}
"""What gateways put before a model's name to say whose it is, and Gemini's API before all of its own."""

PLATFORMS = {"Azure": "azure", "Bedrock": "bedrock", "Foundry": "azure", "Mantle": "bedrock", "Vertex": "vertex"}
"""What SDKs have in the names of their client classes for a cloud's own service, whose host may be a company's gateway:
`AzureOpenAI`, `AnthropicBedrock`, `AsyncAnthropicVertex`. A vendor's own service that is sold through a cloud
(`AnthropicAWS`, `AnthropicGoogleCloud`) is the vendor's."""

VENDOR_OF = [(vendor, re.compile(pattern, re.VERBOSE)) for vendor, pattern in MODELS.items()]


@lru_cache(maxsize=1024)
def host_of(base: str | None) -> str | None:
    """The host of a `base_url`; None where it has none."""
    try:
        return urlsplit(base).hostname if base else None
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def provider_of(host: str | None, model: str | None, azure: bool = False) -> str | None:
    """The provider's name, or None where nobody can tell. `host` may have a port; `azure` says that the SDK's Azure
    client was used, whatever the host, which may then be a company's own gateway."""
    if azure:
        return "azure"
    if host:
        name = re.sub(r":\d+$", "", host.strip()).rstrip(".").lower()
        for provider, patterns in HOSTS.items():
            if any(fnmatchcase(name, pattern) for pattern in patterns):
                return provider
    return vendor_of(model) if model else None


def platform_of(client: type) -> str | None:
    """The provider that an SDK's class of clients is for, or None where it is for any."""
    names = [base.__name__ for base in client.__mro__]
    return next((provider for word, provider in PLATFORMS.items() if any(word in name for name in names)), None)


def vendor_of(model: str) -> str | None:
    """The one provider that has a model of that name."""
    *prefixes, name = model.lower().split("/")
    vendor = next((vendor for vendor, pattern in VENDOR_OF if pattern.match(name)), None)
    if not prefixes or vendor is None:
        return vendor
    if prefixes[0] in ROUTES:
        return ROUTES[prefixes[0]]
    return vendor if VENDORS.get(prefixes[-1]) == vendor else None


def bare_name(provider: str, model: str) -> str:
    """The model's name without what a gateway, a path of Google's or an ARN puts before it to say whose it is. It stays
    as it is where that is a part of the name: a reseller's `openai/gpt-oss-20b`, or `perplexity/sonar`, which costs
    something else than `sonar`."""
    route, _, rest = model.partition("/")
    if rest and ROUTES.get(route.lower()) == provider:
        model = rest
    *before, name = model.split("/")
    if not before:
        return model
    if provider == "bedrock":  # a model on demand; the ARN of a profile or of throughput tells none
        return name if before[-1].endswith("::foundation-model") else model
    whose = "gemini" if provider == "vertex" else provider
    return name if VENDORS.get(before[-1].lower()) == whose != "perplexity" else model
