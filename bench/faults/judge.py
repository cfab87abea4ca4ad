# SPDX-License-Identifier: Apache-2.0
"""Says of what is seen from outside whether all agrees, and if not, what is wrong.

What a fault destroys is gone: where QEMU is killed under a guest, nobody runs it any more, and
Nova has to say so. Nothing is asked or waited for here.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import NamedTuple

#: Nova's words for a migration that is over, and did not move the server
STAYED = ('cancelled', 'error', 'failed')
#: for a server of which nobody runs a guest
OFF = ('ERROR', 'SHUTOFF')


class Kind(enum.Enum):
    """A verdict."""

    AGREED = 'agreed'
    #: by the plugin's record, with its reason, where the evidence decides nothing
    UNDECIDED = 'undecided'
    TWO_COPIES = 'two copies'
    LOST_GUEST = 'lost guest'
    DISAGREES = 'disagrees'
    #: the server is held, though nothing was destroyed
    HELD = 'held without need'


VIOLATIONS = (Kind.TWO_COPIES, Kind.LOST_GUEST, Kind.DISAGREES, Kind.HELD)


class Verdict(NamedTuple):
    """A verdict, and what it is about: for a violation what is wrong, else how it ended."""

    kind: Kind
    what: str


@dataclasses.dataclass(frozen=True)
class Hold:
    """What the plugin's record says of a migration that it has not brought to its end."""

    kind: str
    reason: str


@dataclasses.dataclass(frozen=True)
class Seen:
    """Everything, as of one look. Where nobody answers, it is not what it has to be.

    :param running: the hosts whose libvirt has the guest running
    :param defined: the hosts whose libvirt knows it at all
    :param job: libvirt still has a job of the migration
    :param beating: the hosts in whose log the guest has beaten a moment ago
    :param server: status, task state, host and lock by Nova; None for one that is deleted
    :param migration: Nova's word for it; '' where Nova does not show it any more
    :param allocations: the providers by placement, of the server and of the migration
    :param files: the hosts with files of the server
    :param records: how many of the plugin's records there are
    :param hold: what is written in one of them
    :param silent: who did not answer
    """

    running: tuple[str, ...] = ()
    defined: tuple[str, ...] = ()
    job: bool = False
    beating: tuple[str, ...] = ()
    server: tuple[str, str | None, str | None, bool] | None = None
    migration: str = ''
    allocations: tuple[str, ...] = ()
    of_the_migration: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    records: int = 0
    hold: Hold | None = None
    silent: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class History:
    """What has been seen all the time.

    :param together: both libvirts have had it running at the same time
    :param back_and_forth: it has beaten at the source, at the destination, and at the source again
    :param restarted: its counter of beats has gone back: what ran is not the guest that was
    :param destroyed: the fault has ended a QEMU that the guest, or a part of its memory, was in
    :param halved: the fault came while both hosts had a part of its memory
    """

    together: bool = False
    back_and_forth: bool = False
    restarted: bool = False
    destroyed: bool = False
    halved: bool = False


def disagreements(seen: Seen, destination: str, history: History) -> list[str]:
    """Return what is not as it has to be, in words; nothing where all agrees.

    :param destination: where the migration went to
    :param history: a guest that was destroyed may run nowhere; one that was started anew after
        that may have been evacuated to there
    """
    if seen.silent:
        return [f'no answer: {", ".join(seen.silent)}']
    found = ['libvirt still has a job of it'] if seen.job else []
    if seen.server is None:
        return found + _unlike(seen, ())
    if not seen.running:
        return found + _gone(seen, history.destroyed)
    host = seen.running[0]
    status, task, home, is_locked = seen.server
    wanted = ('completed',) if host == destination else tuple(STAYED)
    if history.destroyed and history.restarted:
        wanted = ('completed', *STAYED)
    if seen.migration not in wanted:
        found.append(f'the migration is {seen.migration} and not {" or ".join(wanted)}')
    if (status, task, home) != ('ACTIVE', None, host):
        found.append(f'Nova has the server {status}, {task or "no task"}, on {home}; '
                     f'it runs on {host}')
    if is_locked:
        found.append('the server is locked')
    if seen.beating != (host,):
        found.append(f'the guest beats on {_told(seen.beating)} and not on {host}')
    return found + _unlike(seen, (host,))


def _unlike(seen: Seen, hosts: tuple[str, ...]) -> list[str]:
    """What is elsewhere than on these hosts, or not there."""
    has = {'it runs on': (seen.running, hosts), 'it is defined on': (seen.defined, hosts),
           'its allocations are on': (seen.allocations, hosts),
           "the migration's allocations are on": (seen.of_the_migration, ())}
    found = [f'{what} {_told(now)} and not on {_told(wanted)}'
             for what, (now, wanted) in has.items() if now != wanted]
    found += [f'files of it are on {name}' for name in seen.files if name not in hosts]
    if seen.records:
        found.append(f"{seen.records} of the plugin's records are left")
    return found


def _gone(seen: Seen, is_destroyed: bool) -> list[str]:
    """Nobody runs it: whether that is said."""
    assert seen.server is not None
    status, task, _, is_locked = seen.server
    found = [] if is_destroyed else ['nobody runs it']
    if status not in OFF or task:
        found.append(f'nobody runs it, and Nova has the server {status}, {task or "no task"}')
    if is_locked:
        found.append('the server is locked')
    if seen.records:
        found.append(f"{seen.records} of the plugin's records are left")
    return found


def is_held(seen: Seen) -> bool:
    """Whether the plugin leaves it to an operator, with a reason, and the server is locked."""
    return (seen.hold is not None and seen.hold.kind == 'hold' and seen.server is not None
            and seen.server[3])


def verdict(seen: Seen, history: History, destination: str) -> Verdict:
    """Return the verdict at the end."""
    if history.together or history.back_and_forth:
        return Verdict(Kind.TWO_COPIES, 'both libvirts have run it at the same time'
                       if history.together else 'it has beaten on both hosts in turn')
    wrong = disagreements(seen, destination, history)
    if is_held(seen):
        assert seen.hold is not None
        if history.destroyed or history.halved:
            return Verdict(Kind.UNDECIDED, seen.hold.reason)
        return Verdict(Kind.HELD, seen.hold.reason)
    if history.restarted and not history.destroyed:
        return Verdict(Kind.LOST_GUEST, 'it was started anew')
    if 'nobody runs it' in wrong:
        return Verdict(Kind.LOST_GUEST, '; '.join(wrong))
    if wrong:
        return Verdict(Kind.DISAGREES, '; '.join(wrong))
    if seen.server is None:
        return Verdict(Kind.AGREED, 'deleted')
    if not seen.running:
        return Verdict(Kind.AGREED, 'destroyed, and Nova says so')
    return Verdict(Kind.AGREED, 'moved' if seen.running == (destination,) else 'stayed')


def _told(hosts: tuple[str, ...]) -> str:
    return ' and '.join(hosts) or 'none'
