# SPDX-License-Identifier: Apache-2.0
"""How one cap is divided among the disks of a migration, some of which are in sync.

The monitor does it on a real QEMU, the model on its own; who sets what is not known here.
"""

from __future__ import annotations

from nova_migpolicy.engine import figures

MIB = figures.MIB
# What a disk in sync keeps, in bytes/s: QEMU lets it follow the guest's writes at any speed, and
# holds it to this only for the little that is left when its job is ended.
READY_BYTES_S = float(MIB)


def divide(cap_bytes_s: float, copying: int, ready: int) -> tuple[float, float]:
    """What each disk that is copied gets, and each that is in sync, in bytes/s.

    What those in sync do not use goes to the others; where all are in sync they have the same.

    :param cap_bytes_s: for all of them together, above 0
    """
    even = cap_bytes_s / (copying + ready)
    if not copying:
        return even, even
    kept = min(even, READY_BYTES_S)
    return (cap_bytes_s - kept * ready) / copying, kept
