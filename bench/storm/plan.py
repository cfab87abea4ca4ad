# SPDX-License-Identifier: Apache-2.0
"""What a storm is made of: its guests, and the settings under which they are moved.

Nothing is drawn: the guests are a table. Each of them arrives alone over this link, without more
than the default policy permits; together they write three times as fast as the link carries.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from lab import guests
from lab import needs

SOURCES = ('n1', 'n2')
DESTINATION = 'n3'
HOSTS = (*SOURCES, DESTINATION)
#: what the destination takes of all sources together, payload and headers
LINK_MIB_S = 50.0
MIB = 1 << 20
_PAGE, _PAGE_HEADER = 4096, 8


@dataclasses.dataclass(frozen=True)
class Load:
    """A guest of the storm."""

    name: str
    guest: guests.Guest

    @property
    def ideal_bytes(self) -> int:
        """What an idle copy of it sends: each page that it has filled once, with its header.

        That is its memory but for what it never touches (lab.guests). A page of zeros takes 9
        bytes and is not counted, nor are the devices, a few hundred KiB.
        """
        pages = (self.guest.memory_mib - guests.RESERVED_MIB) * MIB // _PAGE
        return pages * (_PAGE + _PAGE_HEADER)

    def told(self) -> str:
        """What it does, in some words."""
        one = self.guest
        if one.kind == 'idle':
            return 'idle'
        return f'{one.kind} {one.set_mib:g} MiB at {one.rate_mib_s:g} MiB/s'


def _load(name: str, kind: guests.Kind, memory_mib: int, set_mib: float = 1,
          rate_mib_s: float = 0, **more: Any) -> Load:
    return Load(name, guests.Guest(kind, memory_mib, set_mib, rate_mib_s, **more))


#: They are asked for in this order, from the two sources in turn. Of 12 at once each has 4 MiB/s
#: of the link, of 4 it has 12: the busy ones write faster than that.
LOADS = (
    _load('idle-1', 'idle', 64),
    _load('busy-1', 'sweep', 96, 32, 20),
    _load('quiet-1', 'sweep', 96, 8, 4),
    _load('fast-1', 'sweep', 64, 20, 35),
    _load('random-1', 'random', 80, 40, 8),
    _load('idle-2', 'idle', 80),
    _load('busy-2', 'sweep', 84, 32, 20),
    _load('quiet-2', 'sweep', 72, 8, 4),
    _load('hotcold-1', 'hotcold', 88, 48, 15, hot_mib=8, hot_share=0.9),
    _load('bursts-1', 'bursts', 72, 24, 24),
    _load('idle-3', 'idle', 96),
    _load('busy-3', 'sweep', 64, 32, 20),
)


#: the destination takes all of them, however few processors the machine has: by default it takes
#: four servers for each, and Nova refuses the others
_ROOM = {'cpu_allocation_ratio': float(len(LOADS))}


def source(number: int) -> str:
    """Return the host on which the n-th guest starts, from 0."""
    return SOURCES[number % len(SOURCES)]


@dataclasses.dataclass(frozen=True)
class Config:
    """The settings of the computes in one storm.

    :param driver: 'migpolicy' or 'stock'
    :param wanted: how many are to be under way at once
    """

    driver: str
    wanted: int

    @property
    def name(self) -> str:
        """By what it is asked for."""
        return f'{"ours" if self.driver == "migpolicy" else "stock"}-{self.wanted}'

    @property
    def per_source(self) -> int:
        """Return stock Nova's only limit: so many from each source."""
        return math.ceil(self.wanted / len(SOURCES))

    @property
    def limit(self) -> int:
        """How many may come to the destination at once.

        Ours has a limit there. Stock Nova has one of each source, so the least of two sources is
        2, also where 1 is wanted.
        """
        if self.driver == 'migpolicy':
            return self.wanted
        return self.per_source * len(SOURCES)

    def told(self) -> str:
        """What was set, in the words of nova.conf."""
        if self.driver == 'migpolicy':
            return f'max_incoming {self.wanted}, max_outgoing {len(LOADS)}'
        return f'max_concurrent_live_migrations {self.per_source} at each source'

    def nova_conf(self) -> dict[str, dict[str, Any]]:
        """Return the options of the computes; what is not named has its default."""
        if self.driver == 'stock':
            return {'DEFAULT': {**_ROOM, 'max_concurrent_live_migrations': self.per_source}}
        return {'DEFAULT': {**_ROOM, 'max_concurrent_live_migrations': len(LOADS)},
                'migpolicy': {'max_incoming': self.wanted, 'max_outgoing': len(LOADS)}}


CONFIGS = (Config('migpolicy', 1), Config('migpolicy', 2), Config('migpolicy', 4),
           Config('stock', 1), Config('stock', 4), Config('stock', 12))
NAMES = tuple(one.name for one in CONFIGS)


#: of the API: by default a project has 10 servers
CONTROL_CONF = {'quota': {'instances': -1, 'cores': -1, 'ram': -1}}


def configs(names: list[str] | None) -> list[Config]:
    """Return the settings of some names, by default all."""
    return [one for one in CONFIGS if names is None or one.name in names]


def loads(count: int) -> tuple[Load, ...]:
    """Return the first guests of the table.

    :raises LabError: there are not so many
    """
    if not 1 <= count <= len(LOADS):
        raise needs.LabError(f'--guests: {count} is not 1 to {len(LOADS)}')
    return LOADS[:count]


def ideal_s(some: tuple[Load, ...]) -> float:
    """Return what the storm would take if each filled page went over the link once.

    It is a bound for all: the link's rate counts headers too (some 4 % for TCP), so nothing is
    faster.
    """
    return sum(one.ideal_bytes for one in some) / (LINK_MIB_S * MIB)
