# SPDX-License-Identifier: Apache-2.0
"""Divide one cap among the disks of a migration, some of which are in sync.

The monitor applies the result to a real QEMU, the model to its own disks.
"""

from __future__ import annotations

from nova_migpolicy.engine import figures

MIB = figures.MIB
# The share of a disk in sync, in bytes/s: QEMU lets it follow the guest's writes at any speed, and
# applies this only to the little that is left when its job is ended.
READY_BYTES_S = float(MIB)


def divide(cap_bytes_s: float, copying: int, ready: int) -> tuple[float, float]:
    """The shares of a disk being copied and of a disk in sync, in bytes/s.

    Disks in sync leave what they do not use to the others; where all are in sync, all get the
    same.

    :param cap_bytes_s: for all of them together, above 0
    """
    even = cap_bytes_s / (copying + ready)
    if not copying:
        return even, even
    kept = min(even, READY_BYTES_S)
    return (cap_bytes_s - kept * ready) / copying, kept
