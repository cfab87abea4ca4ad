# SPDX-License-Identifier: Apache-2.0
"""Gives what disks in sync leave of the cap to those that are still copied, while there are any.

libvirt gives each disk the same at the start and leaves it at that. What each gets is worked out
in `mirrors`; how much all get together is the engine's.
"""

from __future__ import annotations

from collections.abc import Callable

from nova_migpolicy.engine import controller as controller_mod
from nova_migpolicy.engine import samples
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod

Phase = samples.Phase


class DiskCaps:
    """The shares of the disks of one migration.

    :param say: takes a sentence for the journal
    :param mirrored_disks: how many are copied; one alone has it all
    """

    def __init__(self, guest: guest_mod.MigratingGuest, controller: controller_mod.Controller,
                 say: Callable[[str], None], mirrored_disks: int) -> None:
        self._guest = guest
        self._controller = controller
        self._say = say
        self._goes_on = mirrored_disks > 1 and controller.facts.can_hurry_disks
        self._said = ''

    def redo(self) -> None:
        """Share the cap anew where a disk has come in sync; a refusal is written down once."""
        cap_mib_s = self._controller.settings.cap_mib_s
        if not self._goes_on or not cap_mib_s:
            return
        try:
            disks = self._guest.set_disk_bandwidth(cap_mib_s)
        except exception.GuestError as error:
            self._say_once(f'the disks keep their shares of {cap_mib_s} MiB/s: {error}')
            return
        ready = sum(disk.ready for disk in disks)
        if 0 < ready < len(disks):
            self._say_once(f'{ready} of {len(disks)} disks are in sync: what they leave of '
                           f'{cap_mib_s} MiB/s goes to the others')
        # When memory has its turn all are in sync, and have the same again for what is left.
        self._goes_on = self._controller.phase in (Phase.SETUP, Phase.DISKS)

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)
