# SPDX-License-Identifier: Apache-2.0
"""The limits of a host, and the times that both ends of a migration go by."""

from __future__ import annotations

import dataclasses
import math

from nova_migpolicy import exception

#: a lease ends when it is not renewed for so long, and is renewed so often
LEASE_S = 30.0
HOLD_S = 10.0
#: a renewal that has not come for so long is missed
MISSED_S = 15.0
#: a source asks again so often while one waits; what is not asked for any more goes after so long
POLL_S = 10.0
TICKET_S = 40.0
#: an offer is kept for so long
OFFER_S = 5.0
#: a source that has taken an offer gives its own slot up after so long without an answer, and
#: says so again each of these
TAKE_S = 5.0
TAKE_AGAIN_S = 1.0
#: a source without a free slot is passed over for so long, if it does not say before that it has
REST_S = 10.0
#: so many free slots are said where there is no limit
MANY = 1000
#: a source with a free slot has one destination after the other try to give it something
CALL_S = 1.0
#: what a pre-check has reserved is kept for so long
RESERVE_S = 30.0
#: one that runs alone has waited so long before others are held back for it, and so long again
#: after one that ran alone, or whose source declined
ALONE_S = 120.0
#: what was over is remembered for so long, since messages may come late
FORGET_S = 120.0
#: what Nova takes for no limit where it has native threads
NOVAS_NO_LIMIT = 5


@dataclasses.dataclass(frozen=True)
class Limits:
    """How many migrations a host sends and takes at once; 0 is no limit.

    alone_above_mib: one that costs more than this has its destination to itself; 0 for none.
    """

    max_outgoing: int = 2
    max_incoming: int = 2
    alone_above_mib: float = 0.0

    def __post_init__(self) -> None:
        for name in ('max_outgoing', 'max_incoming'):
            value = getattr(self, name)
            if type(value) is not int or value < 0:
                raise exception.BadOption(name, value, 'it has to be a whole number, or 0 for '
                                                       'no limit')
        if not (math.isfinite(self.alone_above_mib) and self.alone_above_mib >= 0):
            raise exception.BadOption('alone_above_mib', self.alone_above_mib,
                                      'it has to be an amount in MiB, or 0 for none')

    def is_alone(self, cost_mib: float) -> bool:
        """Whether one that costs so much runs alone."""
        return 0 < self.alone_above_mib < cost_mib


def room(used: int, limit: int) -> int:
    """Return how many slots are free."""
    return MANY if limit == 0 else max(0, limit - used)


def has_room(used: int, limit: int) -> bool:
    """Whether another one fits."""
    return limit == 0 or used < limit


def novas_at_once(max_concurrent: int, is_threaded: bool) -> int:
    """Return how many migrations Nova has under way from a host at once; 0 for no limit.

    :param max_concurrent: its option max_concurrent_live_migrations
    :param is_threaded: whether nova-compute has native threads, not eventlet's
    """
    return max_concurrent or (NOVAS_NO_LIMIT if is_threaded else 0)


def kept_from(max_outgoing: int, at_once: int) -> str | None:
    """Return why not all outgoing slots of a host are used while others wait; None if they are.

    :param at_once: Nova's own limit on what is under way from it, waiting or not; 0 for none
    """
    if at_once == 0 or 0 < max_outgoing < at_once:
        return None
    return ('the number of live migrations that Nova has under way from this host at once is '
            f'{at_once} (max_concurrent_live_migrations in its nova.conf), those that wait for '
            'slots included; ' + (
                'that is the limit of what it sends' if max_outgoing == 0 else
                f'it has to be higher than max_outgoing, which is {max_outgoing}, for all slots '
                'to be used while others wait'))
