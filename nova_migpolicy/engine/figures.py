# SPDX-License-Identifier: Apache-2.0
"""Numbers with their units, as they stand in sentences."""

from __future__ import annotations

MIB = 1 << 20


def size(number: float) -> str:
    """Bytes as MiB or GiB."""
    mib = number / MIB
    if mib >= 10_000:
        return f'{mib / 1024:.0f} GiB'
    return f'{mib:.0f} MiB' if mib >= 10 else f'{mib:.1f} MiB'


def is_little(number: float) -> bool:
    """Whether this many bytes would be shown as 0.0 MiB."""
    return number < 0.05 * MIB


def still_to_send(number: float) -> str:
    """The remaining bytes as a phrase; the state of devices, for one, is not counted in them."""
    return f'with {"next to nothing" if is_little(number) else size(number)} still to be sent'


def count(number: int, thing: str) -> str:
    """A number of things, with the plural where needed."""
    return f'{number} {thing}{"" if number == 1 else "s"}'


def rate(bytes_s: float) -> str:
    """Bytes per second as MiB/s."""
    mib = bytes_s / MIB
    return f'{mib:.0f} MiB/s' if mib >= 10 else f'{mib:.1f} MiB/s'


def span(seconds: float) -> str:
    """Seconds, or minutes when there are many."""
    if seconds < 10:
        return f'{max(seconds, 0.1):.1f} s'
    if seconds < 600:
        return f'{seconds:.0f} s'
    return f'{seconds / 60:.0f} min'


def blackout(milliseconds: float) -> str:
    """A blackout in ms, or in seconds when it is long."""
    if milliseconds < 10_000:
        return f'{milliseconds:.0f} ms'
    return span(milliseconds / 1000)
