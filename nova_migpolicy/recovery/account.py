# SPDX-License-Identifier: Apache-2.0
"""What is told of a migration that is written down: plain data, and never what may be secret.

The same is told by the command on the host and, through the channel, by nova-api.
"""

from __future__ import annotations

import typing

from nova_migpolicy.recovery import advice
from nova_migpolicy.recovery import record as record_mod

#: for a file that is not used
FOR_UNUSED = ('Its migration is treated as one of which nothing was written down. Keep the file '
              'until its server is well, then remove it')


def entry(record: record_mod.Record, now_s: float) -> dict[str, typing.Any]:
    """Return what is known of a migration; the last fields are None where it is under way.

    Times are in seconds since the epoch.

    :param now_s: the time, to tell whether what should have passed has not
    """
    step = record.undecided or {}
    return {
        'server': record.server, 'migration': record.migration, 'source': record.source,
        'destination': record.destination, 'phase': record.written.value,
        'started_s': record.started_s, 'since_s': step.get('since_s'),
        'next_step': step.get('kind'), 'reason': step.get('reason'),
        'what_to_do': what_to_do(record), 'needs_operator': needs_operator(record, now_s),
        'seen': step.get('seen'), 'seen_s': step.get('seen_s')}


def what_to_do(record: record_mod.Record) -> str | None:
    """Return what an operator can do about it; None where it is under way."""
    step = record.undecided
    return None if step is None else advice.what_to_do(
        step['kind'], step['reason'], record.server)


def needs_operator(record: record_mod.Record, now_s: float) -> bool:
    """Whether it does not pass by itself, or should have passed by now."""
    step = record.undecided
    return step is not None and advice.needs_operator(step['kind'], now_s - step['since_s'])


def seen_in_words(seen: record_mod.Mapping | None) -> str:
    """Return what was seen in a sentence; a dash where that is not known."""
    if not seen:
        return '-'
    job = ', with a job in libvirt' if seen['job'] else ''
    migrating = ', task state migrating' if seen['migrating'] else ''
    return (f'the domain on the source {seen["source"]}{job}; the one on the destination '
            f'{seen["destination"]}; for Nova the server is on: {seen["home"]}{migrating}, and '
            f'the migration is: {seen["status"]}')
