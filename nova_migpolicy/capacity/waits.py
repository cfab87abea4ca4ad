# SPDX-License-Identifier: Apache-2.0
"""What a migration waits for, as an operator reads it, and when that may come."""

from __future__ import annotations

from collections import abc
import dataclasses

from nova_migpolicy import vocabulary

#: more servers than these are not named
NAMED = 4
_ENDINGS = {1: 'st', 2: 'nd', 3: 'rd'}


@dataclasses.dataclass(frozen=True)
class Wait:
    """Why a migration waits.

    host: whose slot it waits for. kind: a word of the vocabulary. used, limit: of those slots;
    0 is no limit. holders: servers that have them. place, waiting: which one it is of how many,
    or 0. eta_s: until it has its slot, as far as that is known. note: a sentence of the host.
    """

    host: str
    kind: str
    used: int = 0
    limit: int = 0
    holders: tuple[str, ...] = ()
    place: int = 0
    waiting: int = 0
    eta_s: float | None = None
    note: str = ''

    @property
    def sentence(self) -> str:
        """Return it as a phrase that follows "waits" or "waiting"."""
        if self.kind == vocabulary.AN_ANSWER:
            text = f'for the answer of {self.host}'
        elif self.kind == vocabulary.RECOUNT:
            text = f'until {self.host}, which has just started, knows what comes to it'
        elif self.kind == vocabulary.STOPPING:
            text = f'until nova-compute on {self.host}, which is being stopped, is back'
        elif self.kind == vocabulary.WHOLE_HOST:
            text = f'for {self.host} to take it alone ({self._used()})'
        elif self.kind == vocabulary.ONE_ALONE:
            text = f'until {self.host} is done with one that runs alone ({self._used()})'
        else:
            text = f'for an {self.kind} on {self.host} ({self._used()})'
        if self.place:
            text = f'{ordinal(self.place)} of {self.waiting} {text}'
        if self.eta_s is not None:
            text += f'; about {self.eta_s:.0f} s'
        return f'{text}; {self.note}' if self.note else text

    @property
    def nameless(self) -> str:
        """Return the phrase without other servers' names, which may be those of other projects."""
        return dataclasses.replace(self, holders=()).sentence

    def _used(self) -> str:
        return used_of(self.used, self.limit, self.holders)


@dataclasses.dataclass(frozen=True)
class Refusal:
    """Why a host takes no migration now; the same fields as a Wait's."""

    host: str
    kind: str
    used: int
    limit: int
    holders: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """Return it as a sentence without a full stop."""
        used = used_of(self.used, self.limit, self.holders)
        if self.kind == vocabulary.WHOLE_HOST:
            return f'{self.host} is not idle, and would have to take it alone ({used})'
        if self.kind == vocabulary.ONE_ALONE:
            return f'{self.host} has one that runs alone, or keeps its slots for it ({used})'
        return f'{self.host} has no free {self.kind} ({used})'


def used_of(used: int, limit: int, holders: abc.Sequence[str]) -> str:
    """Return how many slots are used, of how many, and by which servers."""
    text = f'{used} of {limit} used' if limit else f'{used} used, without a limit'
    named = list(holders[:NAMED])
    if len(named) < used and named:
        named.append(f'{used - len(named)} more')
    return f'{text} by {_listed(named)}' if named else text


def _listed(names: abc.Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f'{", ".join(names[:-1])} and {names[-1]}'


def ordinal(number: int) -> str:
    """Return 1st, 2nd and so on."""
    teens = 10 <= number % 100 < 20
    return f'{number}{"th" if teens else _ENDINGS.get(number % 10, "th")}'


def forecast_s(place: int, etas_s: abc.Iterable[float | None], lasts_s: float) -> float | None:
    """Return when the one at a place gets one of the slots that others have now.

    :param place: from 1
    :param etas_s: until each of those ends, where that is known
    :param lasts_s: how long one has its slot, on average
    """
    known = sorted(eta_s for eta_s in etas_s if eta_s is not None)
    if not known:
        return None
    rounds, one = divmod(place - 1, len(known))
    return known[one] + rounds * lasts_s
