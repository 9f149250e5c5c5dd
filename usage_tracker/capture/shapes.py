"""What the classes of an SDK's answers can say: looked at once for each class, so that an ordinary answer, or piece of
a stream, is told by its class and the presence of a usage object."""

from operator import itemgetter
from types import ModuleType
from typing import Any

import msgspec

from usage_tracker.providers.answer import Plain, word
from usage_tracker.providers.told import LONG_TEXTS, encode_usage, parts_of

NOT_KNOWN = Plain((), frozenset())
SHORT, MEDIUM, LARGE = LONG_TEXTS
CANT_BE_KEPT = (KeyError, AttributeError, TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


class Shapes:
    """The answers of one operation of a provider."""

    def __init__(self, provider: ModuleType, operation: str) -> None:
        plain: Plain = getattr(provider, "PLAIN", {}).get(operation, NOT_KNOWN)
        self.names, self._beside = plain
        self._identity = [place for place, name in enumerate(self.names) if name in ("id", "model")]
        *others, _ = self.names or ("",)
        self._take = itemgetter(*others) if len(others) > 1 else lambda fields: tuple(fields[name] for name in others)
        self._says_nothing = getattr(provider, "says_nothing", None)
        self._met: set[type] = set()
        self.plain: set[type] = set()
        """Classes of plain answers."""
        self.quiet: set[type] = set()
        """Classes whose objects say nothing while their usage is None and they have no fields beyond their class's."""

    def meet(self, kind: type) -> None:
        """Note what objects of a class can say."""
        if kind in self._met:
            return
        self._met.add(kind)
        fields: Any = getattr(kind, "model_fields", None)
        if type(fields) is dict and hasattr(kind, "__pydantic_extra__"):
            if self.names and fields.keys() >= set(self.names) and self._beside.isdisjoint(fields.keys() - self.names):
                self.plain.add(kind)
            if self._says_nothing is not None and self._says_nothing(fields):
                self.quiet.add(kind)

    def identifies(self, said: tuple[Any, ...]) -> bool:
        """Whether the model or an id is known by what was said."""
        return any(word(said[place]) for place in self._identity)

    def take(self, answer: Any) -> tuple[Any, ...] | None:
        """What an answer says, in the order of `names`; None where it may say more than that, and has to be read."""
        kind = type(answer)
        if kind not in self.plain:
            self.meet(kind)
            if kind not in self.plain:
                return None
        try:
            fields, more = answer.__dict__, answer.__pydantic_extra__
            if more and not self._beside.isdisjoint(more):
                return None
            usage = fields["usage"]
            # by its parts: for an object, msgspec first looks for a dataclass, and raises and swallows an error
            kept = encode_usage(usage if usage is None else parts_of(usage))
            take_others = self._take
            said = take_others(fields)
        except CANT_BE_KEPT:
            return None
        # not `in`, which raises and swallows an error before it looks for a byte's bytes: 1 µs each
        if kept.find(SHORT) >= 0 or kept.find(MEDIUM) >= 0 or kept.find(LARGE) >= 0:
            return None
        return (*said, msgspec.Raw(kept))
