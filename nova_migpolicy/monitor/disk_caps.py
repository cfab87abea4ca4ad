# SPDX-License-Identifier: Apache-2.0
"""Give the part of the cap that disks in sync leave unused to those still being copied.

libvirt gives each disk the same share at the start and does not change it. The shares are computed
in `mirrors`; the engine sets the cap of all together.
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
    :param mirrored_disks: the number of disks copied; one alone has the whole cap
    """

    def __init__(self, guest: guest_mod.MigratingGuest, controller: controller_mod.Controller,
                 say: Callable[[str], None], mirrored_disks: int) -> None:
        self._guest = guest
        self._controller = controller
        self._say = say
        self._goes_on = mirrored_disks > 1 and controller.facts.can_hurry_disks
        self._said = ''

    def redo(self) -> None:
        """Share the cap again where a disk has come in sync; a refusal is journaled once."""
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
        # When memory is sent all disks are in sync, and have equal shares again for the rest.
        self._goes_on = self._controller.phase in (Phase.SETUP, Phase.DISKS)

    def _say_once(self, text: str) -> None:
        if text != self._said:
            self._said = text
            self._say(text)
