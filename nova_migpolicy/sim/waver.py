# SPDX-License-Identifier: Apache-2.0
"""How a link and a guest waver from pass to pass: the only chance in the model, from a seed."""

from __future__ import annotations

import random

LEAST = 0.2


class Waver:
    """The factors of one migration on the rates of its link and of its guest, in this pass.

    :param link, guest: how far they waver, as a share of the rate; 0 for not at all
    """

    def __init__(self, seed: int, link: float, guest: float) -> None:
        self.link_factor = self.guest_factor = 1.0
        self._chance = random.Random(seed)
        self._link, self._guest = link, guest

    def next(self) -> bool:
        """A pass begins; whether anything wavers."""
        if self._link:
            self.link_factor = max(LEAST, 1 + self._link * self._chance.gauss(0, 1))
        if self._guest:
            self.guest_factor = max(LEAST, 1 + self._guest * self._chance.gauss(0, 1))
        return bool(self._link or self._guest)
