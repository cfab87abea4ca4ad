# SPDX-License-Identifier: Apache-2.0
"""What an operator is shown of a host's slots: limits, who has one, and who waits for what.

A phase of a slot whose data does not flow is one of TAKING, OFFERED and RESERVED (vocabulary).
`since_s` is for how long one has its slot, or has waited for one.
"""

from __future__ import annotations

from typing import Any

from nova_migpolicy.capacity import incoming as incoming_mod
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import order
from nova_migpolicy.capacity import outgoing as outgoing_mod
from nova_migpolicy import vocabulary

#: so many of each list are shown
MOST = 100
Plain = dict[str, Any]


def state(outgoing: outgoing_mod.Outgoing, incoming: incoming_mod.Incoming, now_s: float,
          most: int = MOST) -> Plain:
    """Return plain values; times are in seconds, and None where they are not known.

    :param most: so many of each list; there are never more than MOST
    """
    most = min(most, MOST)
    return {'outgoing': _of_source(outgoing, now_s, most),
            'incoming': _of_destination(incoming, now_s, most)}


def _of_source(machine: outgoing_mod.Outgoing, now_s: float, most: int) -> Plain:
    holders = [_sent(one, now_s - one.since_s, phase=_phase(one),
                     eta_s=_left(one.ends_s, now_s)) for one in machine.with_slot()]
    waiting = [one for one in machine.own() if one.stand is outgoing_mod.Stand.WAITING]
    # Each waits at its own destination; here they are by what counts at all of them.
    waiting.sort(key=lambda one: (-order.level_of(one.want.priority, now_s - one.asked_s),
                                  one.asked_s))
    queue = []
    for one in waiting[:most]:
        wait = machine.wait(one.want.migration)
        queue.append(_sent(one, now_s - one.asked_s, priority=one.want.priority,
                           reason='' if wait is None else wait.sentence,
                           eta_s=None if wait is None else wait.eta_s))
    return _direction(machine.limits.max_outgoing, machine.used,
                      [now_s - one.asked_s for one in waiting], holders[:most], len(holders),
                      queue)


def _phase(own: outgoing_mod.Own) -> str | None:
    if own.stand is outgoing_mod.Stand.TAKING:
        return vocabulary.TAKING
    return own.phase or None


def _sent(own: outgoing_mod.Own, since_s: float, **more: Any) -> Plain:
    return {'server': own.want.server, 'migration': own.want.migration,
            'other_host': own.want.destination, 'since_s': round(since_s, 1), **more}


def _of_destination(machine: incoming_mod.Incoming, now_s: float, most: int) -> Plain:
    holders = [_taken(one, now_s - one.since_s, phase=one.phase or None,
                      eta_s=_left(one.ends_s, now_s)) for one in machine.holders()]
    holders += [_taken(one, limits_mod.OFFER_S - (one.until_s - now_s), phase=vocabulary.OFFERED,
                       eta_s=None) for one in machine.offered()]
    holders += [{'server': server, 'migration': migration, 'other_host': None, 'since_s': None,
                 'phase': vocabulary.RESERVED, 'eta_s': None}
                for migration, server in machine.reserved()]
    waiting = machine.in_order(now_s)
    queue = []
    for one in waiting[:most]:
        wait = machine.wait(now_s, one)
        queue.append(_taken(one, now_s - one.asked_s, priority=one.priority,
                            reason=wait.sentence, eta_s=wait.eta_s))
    return _direction(machine.limits.max_incoming, machine.used,
                      [now_s - one.asked_s for one in waiting], holders[:most], len(holders),
                      queue)


def _taken(ticket: incoming_mod.Ticket, since_s: float, **more: Any) -> Plain:
    return {'server': ticket.server, 'migration': ticket.migration, 'other_host': ticket.source,
            'since_s': round(since_s, 1), **more}


def _direction(limit: int, used: int, waits_s: list[float], holders: list[Plain], holding: int,
               queue: list[Plain]) -> Plain:
    return {'limit': limit, 'used': used, 'waiting': len(waits_s),
            'oldest_wait_s': round(max(waits_s), 1) if waits_s else None,
            'holders': holders, 'queue': queue,
            'left_out': len(waits_s) - len(queue) + holding - len(holders)}


def _left(ends_s: float | None, now_s: float) -> float | None:
    return None if ends_s is None else round(max(0.0, ends_s - now_s), 1)
