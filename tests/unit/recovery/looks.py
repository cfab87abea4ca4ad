# SPDX-License-Identifier: Apache-2.0
"""Evidence for tests: a usual one to change a part of, and all that there can be."""

from __future__ import annotations

import functools
import itertools

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import table

USUAL = {
    'source': evidence.Source.RUNNING, 'job': False, 'destination': evidence.Destination.ABSENT,
    'written': evidence.Written.COPYING, 'home': evidence.Home.SOURCE,
    'status': evidence.Status.UNDER_WAY, 'migrating': True}
TRUTHS = (False, True)


def seen(**parts):
    """The guest is on the source, whose copy was under way, but for what is given."""
    return evidence.Evidence(**{**USUAL, **parts})


def over(status=evidence.Status.COMPLETED, **parts):
    """Nova takes the migration for ended."""
    return seen(status=status, migrating=False, **parts)


@functools.cache
def every():
    """All evidence that there can be, with the step that it means."""
    def product(homes, is_evacuated):
        return itertools.product(
            evidence.Source, TRUTHS, evidence.Destination, evidence.Written, homes,
            evidence.Status, TRUTHS, TRUTHS, TRUTHS, (False,), is_evacuated)

    return tuple((one, table.decide(one)) for one in itertools.starmap(
        evidence.Evidence, itertools.chain(product(evidence.Home, (False,)),
                                           product((evidence.Home.OTHER,), (True,)))))
