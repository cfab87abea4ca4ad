# SPDX-License-Identifier: Apache-2.0
"""The page about Nova's own options as reStructuredText, made from their table.

``python -m nova_migpolicy.policy.nova_reference > doc/source/nova_options.rst`` renews the page in
the docs. It adds no fact to the table and the constants.
"""

from __future__ import annotations

from collections import abc
import sys

from nova_migpolicy.policy import keys
from nova_migpolicy.policy import nova_options
from nova_migpolicy.policy import nova_values
from nova_migpolicy.policy import reference

_GENTLE = nova_values.GENTLE_MIB_S
_RATE = keys.KEYS['bandwidth_mib_s']
_STREAMS = keys.KEYS['parallel_connections']

HEAD = f"""\
..  Made by python -m nova_migpolicy.policy.nova_reference; do not edit.

=========================================
Nova's own options about live migrations
=========================================

Under the profile ``nova`` all of them act as Nova says. Under any other profile some count as
policy keys, some keep their effect, and the others have none: the policy has keys in their place.

No value that Nova can read stops nova-compute from starting. What Nova cannot read, such as a word
where it wants a number, it refuses by itself at its start, with or without the plugin.

When nova-compute starts, its log has one warning for each option that is set in nova.conf and does
not count, or not as it is written: it names the option, its value, what counts instead, and what
to set. On SIGHUP it warns of new ones. Options that count as
policy keys take the place of nova.conf ``[libvirt]`` in the order of sources (:doc:`admin`), so
the profile that nova.conf names and the keys in ``[migpolicy]`` win over them.
Where nova.conf has ``[migpolicy] profile = nova``, the warnings are about the servers whose flavor
has another profile.

Odd values
==========

The keys in ``[migpolicy]`` take nothing outside their ranges (:doc:`reference`). Nova's options
take any number, so values that make no sense are handled so:

* ``live_migration_bandwidth`` above {_RATE.maximum} MiB/s was meant in bytes/s, if that makes
  {_GENTLE} to {nova_values.FASTEST_MIB_S} MiB/s. Any other such rate, one below 0, and one that is
  no number at all, are taken as {_GENTLE} MiB/s: a cap that is too low costs time, no cap at all
  may cost the network. It is what VMware asks for each of its migrations at least, 250 Mbit/s.
* ``live_migration_parallel_connections`` is {_STREAMS.minimum} where it is lower, or no number,
  and {_STREAMS.maximum} where it is higher.
* ``live_migration_monitor_interval`` is {nova_values.PROGRESS_INTERVAL_S:g} s where it is below 1,
  above {nova_values.LONGEST_INTERVAL_S}, or no number.
* What is empty counts as not set.

Under the profile ``nova`` Nova's own monitor takes each value as it is. Where a policy key cannot
say that value, the nearest one that can be meant is shown, with a warning: {_GENTLE} MiB/s for a
rate below 0, never 0, which is no cap.
"""

_HEADINGS = {
    nova_options.Fate.MAPPED: 'Options that count as policy keys',
    nova_options.Fate.NO_EFFECT: 'Options that have no effect',
    nova_options.Fate.KEPT: 'Options that keep their effect',
}


def page() -> abc.Iterator[str]:
    """Generate the lines of the page."""
    yield HEAD
    for fate, heading in _HEADINGS.items():
        yield heading
        yield '=' * len(heading)
        yield ''
        yield from _table(fate)
        yield ''


def _table(fate: nova_options.Fate) -> abc.Iterator[str]:
    yield '.. list-table::'
    yield '   :header-rows: 1'
    yield '   :widths: 40 60' if fate is nova_options.Fate.KEPT else '   :widths: 35 25 40'
    yield ''
    middle = {nova_options.Fate.MAPPED: ['counts as'],
              nova_options.Fate.NO_EFFECT: ['set in [migpolicy] instead']}.get(fate, [])
    yield from reference.row('option', [*middle, 'what that means'])
    for option in nova_options.OPTIONS.values():
        if option.fate is fate:
            yield from reference.row(_name(option), [
                *(', '.join(f'``{key}``' for key in option.keys) for _ in middle),
                reference.quoted(option.says)])


def _name(option: nova_options.Option) -> str:
    since = '' if option.since == nova_options.OLDEST else f' (Nova {option.since} and later)'
    return f'``[{option.group}]`` ``{option.name}``{since}'


if __name__ == '__main__':
    sys.stdout.write('\n'.join(page()))
