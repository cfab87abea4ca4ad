# SPDX-License-Identifier: Apache-2.0
"""The rule for what a destination has prepared for a guest: when it goes, and when it stays.

Nova only tells a destination that it is not needed any more, and the message may be lost; and what
prepares it may come late. So the destination looks for itself.
"""

from __future__ import annotations

import enum

from nova_migpolicy.recovery import evidence

Home = evidence.Home
#: the source has the guest; one that is shut off there may have run here since
HAS_THE_GUEST = frozenset({evidence.Source.RUNNING, evidence.Source.PAUSED})


class Answer(enum.Enum):
    """What is done with it."""

    #: the guest may still come, or it is not known whether it does
    KEEP = 'keep'
    #: the guest is here, and uses it
    FORGET = 'forget'
    #: nobody needs it any more
    CLEAR = 'clear'
    #: the source is asked first for the guest
    ASK = 'ask'


def answer(home: Home, status: evidence.Status, domain: evidence.Destination,
           source: evidence.Source | None = None) -> Answer:
    """Return what is done with what was prepared for a migration.

    :param home: of the server
    :param status: of the migration
    :param domain: what libvirt on the destination has
    :param source: what libvirt on the source has; None where it was not asked, which is then the
        answer where it matters
    """
    if home in (Home.SILENT, Home.CHANGING) or domain is evidence.Destination.SILENT:
        return Answer.KEEP
    if home is Home.DESTINATION:
        return Answer.FORGET
    is_open = status in (evidence.Status.QUEUED, evidence.Status.UNDER_WAY)
    # A guest that is here without Nova's knowledge is its source's to decide on.
    if domain is not evidence.Destination.ABSENT or (is_open and home is not Home.NONE):
        return Answer.KEEP
    if home is Home.SOURCE and status is not evidence.Status.ENDED:
        # The guest may have come and gone again, and the disks here be the only ones of today.
        if source is None:
            return Answer.ASK
        return Answer.CLEAR if source in HAS_THE_GUEST else Answer.KEEP
    return Answer.CLEAR
