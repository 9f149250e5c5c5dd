"""Newer data of genai-prices than what is bundled with it, taken on request: `usage-tracker prices update`.

It lies in one file of the user's data folder and is used by this user's programs on this machine, from
their next start on. Nothing is ever downloaded by a program that is being recorded.
"""

import hashlib
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from usage_tracker.errors import ConfigError
from usage_tracker.folders import data_folder
from usage_tracker.pricing.genai import GenaiPrices

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider

logger = logging.getLogger("usage_tracker")


def data_file() -> Path:
    return data_folder() / "genai-prices.json"


def newest_data() -> GenaiPrices:
    """The source with the newer data, if there is any, else with what is bundled. Data that can't be read any more is
    said to be, once, and left alone."""
    path = data_file()
    try:
        content = path.read_bytes()
    except OSError:
        return GenaiPrices()
    try:
        return read_data(content)
    except ConfigError as error:
        logger.error("%s: %s; prices are those that are bundled", path, error)
        return GenaiPrices()


def read_data(content: bytes) -> GenaiPrices:
    """The source of that data, under a version that is made of its content. Raises ConfigError for anything else:
    https://github.com/pydantic/genai-prices/blob/main/prices/new_data/v2/data.json"""
    from genai_prices.types import _providers_from_raw
    from pydantic import ValidationError

    try:
        raw: Any = json.loads(content)
        if not isinstance(raw, list) or not raw:
            raise ConfigError("this is no list of providers, as genai-prices publishes it in data.json")
        providers: list[Provider] = _providers_from_raw(raw)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"this is no JSON ({error})") from None
    except (ValidationError, ValueError, TypeError) as error:
        first = str(error).partition("\n")[0]
        raise ConfigError(f"this is no price data that the installed genai-prices understands ({first})") from None
    return GenaiPrices(providers, f"data {hashlib.blake2b(content, digest_size=4).hexdigest()}")


class Change(NamedTuple):
    """What differs between two states of the data for one model."""

    provider: str
    model: str
    change: str
    """`new`, `gone` or `price`."""
    before: str
    after: str


def compare(old: GenaiPrices, new: GenaiPrices) -> list[Change]:
    """Model by model."""
    before, after = ({(provider.id, model.id): model for provider, model in source.all()} for source in (old, new))
    changes = []
    for key in sorted(before.keys() | after.keys()):
        was, is_now = (show(models[key]) if key in models else "" for models in (before, after))
        if was != is_now:
            kind = "gone" if key not in after else "new" if key not in before else "price"
            changes.append(Change(*key, kind, was, is_now))
    return changes


def show(model: "ModelInfo") -> str:
    """All prices of a model in one line, with the days from which they hold."""
    listed = model.prices if isinstance(model.prices, list) else None
    found = (
        [str(model.prices)]
        if listed is None
        else [
            f"{getattr(each.constraint, 'start_date', each.constraint) or 'at first'}: {each.prices}" for each in listed
        ]
    )
    found += [f"{'/'.join(variant.when.values())}: {variant.prices}" for variant in model.price_variants or ()]
    return "; ".join(found)
