# SPDX-License-Identifier: Apache-2.0
"""Whether a migration that a monitor has seen end may be rolled back at once.

The source alone cannot tell where its guest does not run, or ran again after the switchover: the
destination may have the guest then. The table judges it, as it does for one that nobody watched.
"""

from __future__ import annotations

import dataclasses

from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import table


def obstacle(seen: evidence.Evidence) -> str | None:
    """Return why it may not be rolled back, in a sentence; None where it may.

    :param seen: what is known of it now; a monitor that is at work knows what cannot be read
    """
    if seen.written is evidence.Written.LOST:
        seen = dataclasses.replace(seen, written=evidence.Written.COPYING)
    step = table.decide(seen)
    return None if step.kind is table.Kind.ROLL_BACK else step.reason
