# SPDX-License-Identifier: Apache-2.0
"""The rule for whatever starts a server's guest: no door starts a second copy.

Hard reboot, start, resume at the boot of a host, rebuild and evacuation ask it first, wherever a
migration of the server is unfinished or has ended oddly. No answer counts as yes, it runs there.
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
            'lets it be started all the same; where that host is off, with `--source-is-off` on '
            'the one that is to start it')


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


def must_ask(seen: evidence.Evidence, is_odd: bool) -> bool:
    """Whether a start must ask both hosts first.

    What both hosts have need not be known for this.

    :param is_odd: the migration ended otherwise than by us, or the server is locked by us
    """
    return (is_odd or not seen.is_settled or seen.home is Home.CHANGING
            or seen.written is not evidence.Written.LOST)


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
    at_home = _at_home(seen, here) if step.kind is not Kind.NOTHING else ''
    if at_home:
        return Opening(Answer.START, f'it is at home here, and {at_home}')
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


def _at_home(seen: evidence.Evidence, here: Home) -> str:
    """Return why a server may be started at home, after a migration that nobody wrote down.

    Nothing where it may not.
    """
    if (seen.written is not evidence.Written.LOST or not seen.is_settled or seen.job
            or here is not seen.home):
        return ''
    if _runs_here(seen, here):
        return 'runs here already'
    return 'the other host has nothing of it' if _has_nothing_elsewhere(seen, here) else ''


def _runs_here(seen: evidence.Evidence, here: Home) -> bool:
    """Whether the guest runs here, and the other host, which may be no more, does not answer.

    To start it anew makes no copy more than there is.
    """
    return ((here is Home.SOURCE and seen.source is Source.RUNNING
             and seen.destination is Destination.SILENT)
            or (here is Home.DESTINATION and seen.destination is Destination.ARRIVED
                and seen.source is Source.SILENT))


def _has_nothing_elsewhere(seen: evidence.Evidence, here: Home) -> bool:
    return ((here is Home.SOURCE and seen.destination is Destination.ABSENT)
            or (here is Home.DESTINATION and seen.source in OFF))


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
