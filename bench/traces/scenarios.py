# SPDX-License-Identifier: Apache-2.0
"""The migrations that are recorded from real QEMU, so that a model of it can be held to them.

A scenario is data: a guest, how its migration is started, and what is done to it after which
MIGRATION_ITERATION event. Event 1 is the start of the bulk copy, event 2 its end, event k + 1
the end of pass k. Nothing here decides as the engine would, and nothing here runs anything (that
is `bench.traces.command`). Without hardware virtualisation QEMU emulates: guests are small and
slow.
"""

from __future__ import annotations

import dataclasses
import re

from lab import guests
from lab import hosts
from nova_migpolicy.engine import remedies

Then = tuple[tuple[int, remedies.Action], ...]
RATE_MAX_MIB_S = 100
MEMORY_MIB = range(96, 257)


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One migration to record.

    :param cap_mib_s: bandwidth cap of the memory and of each disk, 0: none
    :param limit_ms: downtime limit at the start
    :param then: actions, each with the number of the event that it follows at once
    :param throttle_initial, throttle_increment: percent, with auto_converge
    :param post_copy: it may be switched to post-copy
    :param switchover_mib_s: the rate of the link as QEMU is told it, None: it is not told
    :param link_mib_s: rate that the link is shaped to, None: as fast as memory
    :param disks_mib: data disks that are mirrored first, full of data
    :param written_mib_s: what is written to the only data disk until it is in sync
    :param silent: an event, and for how many seconds the link loses all from then on
    :param beside: another guest that is migrated over the same link at the same time
    """

    name: str
    about: str
    guest: guests.Guest
    cap_mib_s: int = 0
    limit_ms: int = 300
    then: Then = ()
    flavour: hosts.Flavour = 'bookworm'
    auto_converge: bool = False
    throttle_initial: int = 20
    throttle_increment: int = 10
    post_copy: bool = False
    switchover_mib_s: int | None = None
    link_mib_s: int | None = None
    disks_mib: tuple[int, ...] = ()
    written_mib_s: float = 0.0
    silent: tuple[int, float] | None = None
    beside: guests.Guest | None = None

    def problems(self) -> list[str]:
        """Return what cannot be recorded about it, as sentences."""
        rates = (self.cap_mib_s, self.link_mib_s or 0, self.guest.rate_mib_s)
        events = [event for event, _ in self.then]
        acts = [action for _, action in self.then]
        checks = (
            (re.fullmatch(r'[a-z0-9]+(-[a-z0-9]+)*', self.name), 'its name is no file name'),
            (self.about.endswith('.'), 'it does not say what it is about'),
            (self.guest.memory_mib in MEMORY_MIB, 'its memory is not 96 to 256 MiB'),
            (all(0 <= rate <= RATE_MAX_MIB_S for rate in rates),
             f'a rate is above {RATE_MAX_MIB_S} MiB/s'),
            (self.limit_ms > 0, 'its downtime limit is not above 0'),
            (0 < self.throttle_initial < 100 and 0 < self.throttle_increment < 100,
             'a throttle is not 1 to 99 %'),
            (events == sorted(events) and min(events, default=1) > 0,
             'its actions are not in the order of the events'),
            (not any(isinstance(act, remedies.SetThrottle) for act in acts),
             'libvirt has no call that sets the throttle'),
            (self.post_copy or not any(isinstance(act, remedies.StartPostCopy) for act in acts),
             'post-copy takes a flag at the start'),
            (not self.written_mib_s or len(self.disks_mib) == 1,
             'what is written needs one data disk'),
            (self.beside is None or (self.link_mib_s is not None and not self.cap_mib_s),
             'a link that is shared needs a rate, and nobody a cap'),
            (self.switchover_mib_s is None or self.flavour == 'trixie',
             'only the newer libvirt can be told the rate of the link'),
        )
        return [f'{self.name}: {text}' for right, text in checks if not right]


def by_name(names: list[str] | None = None) -> list[Scenario]:
    """Return the scenarios of these names, or all, in the order of the list.

    :raises ValueError: for a name that is not there
    """
    unknown = sorted(set(names or ()) - {scenario.name for scenario in SCENARIOS})
    if unknown:
        raise ValueError(f'no scenario {", ".join(unknown)}')
    return [scenario for scenario in SCENARIOS if not names or scenario.name in names]


def _limit(limit_ms: int) -> remedies.SetMaxDowntime:
    return remedies.SetMaxDowntime(limit_ms, limit_ms)


def _sweep(set_mib: float, rate_mib_s: float, memory_mib: int = 128) -> guests.Guest:
    return guests.Guest('sweep', memory_mib, set_mib, rate_mib_s)


_PLATEAU = _sweep(64, 80)
_THROTTLED = _sweep(64, 80, 96)
_LONG = _sweep(128, 30, 160)

SCENARIOS: tuple[Scenario, ...] = (
    Scenario('idle', 'Nothing is written: one pass under a cap.',
             guests.Guest('idle', 128), 40),
    Scenario('unshaped', 'No cap and no shaped link: as fast as this machine copies memory.',
             _sweep(32, 10, 256)),
    Scenario('sweep-converges', 'A sweep slower than the cap: passes get shorter to the end.',
             _sweep(48, 15), 40),
    Scenario('sweep-abort', 'A sweep faster than the cap: passes stay as long; aborted.',
             _PLATEAU, 40, then=((5, remedies.Abort()),)),
    Scenario('sweep-limit-raised', 'The same plateau ends by a higher downtime limit.',
             _PLATEAU, 40, then=((4, _limit(2500)),)),
    Scenario('sweep-cap-raised', 'A plateau ends by a higher cap.',
             _sweep(24, 60), 30, then=((4, remedies.SetBandwidth(100)),)),
    Scenario('sweep-cap-lowered', 'The cap is lowered after the bulk copy.',
             _sweep(48, 10), 60, 100, then=((2, remedies.SetBandwidth(20)),)),
    Scenario('random-converges', 'Uniform writes, slower than the cap.',
             guests.Guest('random', 128, 64, 20), 40),
    Scenario('random-plateau', 'Uniform writes, faster than the cap; aborted.',
             guests.Guest('random', 128, 64, 80), 40, then=((6, remedies.Abort()),)),
    Scenario('hotcold', 'Most writes go to a small part, which fits into the limit.',
             guests.Guest('hotcold', 128, 64, 40, hot_mib=8, hot_share=0.9), 40),
    Scenario('bursts', 'A sweep that rests for 3 s after each 2 s.',
             guests.Guest('bursts', 144, 32, 100, on_ms=2000, off_ms=3000), 40),
    Scenario('phases', 'A plateau that ends when the guest calms down by itself.',
             guests.Guest('phases', 128, 64, 80, change_after_s=12, then_set_mib=8,
                          then_rate_mib_s=5), 40),
    Scenario('auto-converge', 'Stock auto-converge, with passes of 1 to 2 s.',
             _THROTTLED, 40, auto_converge=True),
    Scenario('auto-converge-trixie', 'The same with newer QEMU.',
             _THROTTLED, 40, auto_converge=True, flavour='trixie'),
    Scenario('auto-converge-long', 'Auto-converge in big steps, with passes of 6 s.',
             _LONG, 20, auto_converge=True, throttle_initial=50, throttle_increment=25),
    Scenario('auto-converge-long-trixie', 'The same with newer QEMU: a sync at least every 5 s.',
             _LONG, 20, auto_converge=True, throttle_initial=50, throttle_increment=25,
             flavour='trixie'),
    Scenario('post-copy', 'Switched to post-copy after a second pass; the cap does not bind it.',
             _PLATEAU, 20, then=((3, remedies.StartPostCopy()),), post_copy=True, link_mib_s=30),
    Scenario('pause', 'The guest is paused after a second pass: what is left goes under the cap.',
             _PLATEAU, 40, then=((3, remedies.Pause()),)),
    Scenario('disks', 'Two disks are mirrored, then memory; the cap holds for each.',
             _sweep(16, 8, 96), 20, disks_mib=(64, 48)),
    Scenario('slow-link', 'A slow link without a cap.',
             _sweep(32, 8), link_mib_s=25),
    Scenario('slow-link-limit-raised', 'A plateau on a slow link, ended by a higher limit.',
             _sweep(48, 60), link_mib_s=40, then=((4, _limit(1800)),)),
    Scenario('sweep-limit-raised-trixie', 'The plateau that a higher limit ends, newer QEMU.',
             _PLATEAU, 40, then=((4, _limit(2500)),), flavour='trixie'),
    Scenario('switchover-trixie', 'A cap far below the link, whose rate QEMU is told.',
             _sweep(24, 80), 10, 500, flavour='trixie', switchover_mib_s=80, link_mib_s=80),
    Scenario('post-copy-trixie', 'Post-copy with newer QEMU.',
             _PLATEAU, 20, then=((3, remedies.StartPostCopy()),), flavour='trixie',
             post_copy=True, link_mib_s=30),
    Scenario('zeros', 'Most of its memory was never touched.',
             guests.Guest('sweep', 256, 16, 8, untouched_mib=208), 10),
    Scenario('busy-disk', 'A disk that is written to while it is mirrored.',
             guests.Guest('idle', 128), 20, disks_mib=(192,), written_mib_s=10),
    Scenario('silent-link', 'A link that dies in the bulk copy, and comes back.',
             _sweep(16, 8), 20, silent=(1, 4.0)),
    Scenario('shared-link', 'Another guest is sent over the same link, which is done sooner.',
             _sweep(32, 4), link_mib_s=40, beside=guests.Guest('idle', 96)),
)
