# SPDX-License-Identifier: Apache-2.0
"""The rule for whatever starts a server's guest: no door starts a second copy.

Hard reboot, start, resume, rescue and its end, resize, unshelving, resume at the boot of a host,
rebuild and evacuation ask it first, wherever a live migration of the server is unfinished or has
ended oddly. No answer counts as yes, it runs there.
"""

from __future__ import annotations

import dataclasses
import enum

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import table

Home = evidence.Home
Kind = table.Kind
Source = evidence.Source
Destination = evidence.Destination

#: a domain, on either host, of which nothing runs
OFF = frozenset({Source.SHUT_OFF, Source.MIGRATED, Source.ABSENT, Destination.SHUT_OFF,
                 Destination.ABSENT})

_SILENT = frozenset({Source.SILENT, Destination.SILENT})

OVERRIDE = ('if neither host runs it, `nova-migpolicy recovery release SERVER` on its source host '
            'lets it be started all the same; where nothing is written down there, or that host '
            'is off, with `--here` on the one that is to start it')


class Answer(enum.Enum):
    """What a door does."""

    START = 'start'
    #: the guest runs where it went: the migration is finished, and the request fails
    FINISH = 'finish instead'
    REFUSE = 'refuse'


@dataclasses.dataclass(frozen=True)
class Opening:
    """What a door does, and why."""

    answer: Answer
    reason: str


def must_ask(written: evidence.Written, status: evidence.Status) -> bool:
    """Whether a start must ask both hosts first: a migration is unfinished, or ended oddly.

    :param written: by what is known on the host that starts it
    :param status: of the server's newest migration
    """
    return written is not evidence.Written.LOST or status not in (
        evidence.Status.COMPLETED, evidence.Status.ENDED)


def only_starts_anew(written: evidence.Written, status: evidence.Status, here: Source,
                     job: bool, *, is_source: bool) -> bool:
    """Whether a guest runs where Nova has it, and its last migration does not take it away.

    To start it anew makes no copy more than there is, so no other host, which may be no more, has
    to be asked.

    :param here: the domain on the host where Nova has it, as of a source
    :param job: libvirt on this host sends it to another one
    :param is_source: the host is the migration's source, from where it may be about to leave
    """
    is_open = status in (evidence.Status.QUEUED, evidence.Status.UNDER_WAY)
    return (written is evidence.Written.LOST and here is Source.RUNNING and not job
            and not (is_source and is_open))


def opening(seen: evidence.Evidence, here: Home, *, is_released: bool = False) -> Opening:
    """Return whether a host may start the guest.

    :param here: the host: OTHER for one that has no part in the migration, as evacuation's
    :param is_released: whether an operator answers for what is not known
    """
    if seen.home is Home.NONE:
        return Opening(Answer.REFUSE, 'the server was deleted')
    if is_released and _may_be_released(seen, here):
        return Opening(Answer.START, 'an operator has released it')
    step = table.decide(seen)
    if step.kind is not Kind.NOTHING and _is_at_home(seen, here):
        return Opening(Answer.START, 'it is at home here, and the other host has nothing of it')
    if step.kind is Kind.FINISH:
        return Opening(Answer.FINISH, f'{step.reason}: its live migration is finished instead')
    if step.kind is not Kind.NOTHING:
        return Opening(Answer.REFUSE, f'its live migration is not over: {step.reason}; '
                       f'{_ADVICE.get(step.kind, "try again in a minute")}')
    running = _elsewhere(seen, here)
    if running:
        return Opening(Answer.REFUSE, running)
    if here is seen.home or _is_evacuated(seen, here):
        return Opening(Answer.START, step.reason)
    if here is Home.OTHER:
        return Opening(Answer.REFUSE, f'the server is on its {seen.home.value} host, which '
                       'answers: start it there')
    return Opening(Answer.REFUSE, f'Nova has the server on {_at(seen.home)}, and not here')


def _may_be_released(seen: evidence.Evidence, here: Home) -> bool:
    """Whether an operator's word is enough: it is not, against what is seen on the other host."""
    others = [has for home, has in ((Home.SOURCE, seen.source),
                                    (Home.DESTINATION, seen.destination)) if home is not here]
    return (not seen.job and all(has in OFF or has in _SILENT for has in others)
            and (here is seen.home or (here is Home.OTHER and seen.fenced)))


def _is_evacuated(seen: evidence.Evidence, here: Home) -> bool:
    """Whether Nova evacuates the guest to a host, and its source is off."""
    return seen.fenced and (here is Home.OTHER or (
        here is Home.DESTINATION and seen.home is Home.SOURCE))


def _is_at_home(seen: evidence.Evidence, here: Home) -> bool:
    """Whether a migration that nobody wrote down is long over, and left nothing elsewhere."""
    other = {Home.SOURCE: seen.destination is Destination.ABSENT,
             Home.DESTINATION: seen.source in OFF,
             # As after a resize, which leaves what it needs to go back.
             Home.OTHER: seen.source in OFF and seen.destination is Destination.ABSENT}
    return (seen.written is evidence.Written.LOST and seen.is_settled and not seen.job
            and here is seen.home and other.get(here, False))


def _elsewhere(seen: evidence.Evidence, here: Home) -> str:
    """Return that another host runs the guest, or may; nothing where none does."""
    for home, has in ((Home.SOURCE, seen.source), (Home.DESTINATION, seen.destination)):
        if home is here or has in OFF:
            continue
        if has is not Source.SILENT or not seen.fenced:
            return f'the domain on its {home.value} host {has.value}; {OVERRIDE}'
    return ''


def _at(home: Home) -> str:
    return f'its {home.value} host' if home is not Home.OTHER else home.value


_ADVICE = {
    Kind.HOLD: f'see `nova-migpolicy recovery list` for what to do; {OVERRIDE}',
    Kind.WAIT: f'see whether it runs on either host; {OVERRIDE}',
}
