# SPDX-License-Identifier: Apache-2.0
"""Numbers that people type and files hold: read, and held against their range.

The ranges are those of the model, not of policy keys: those are in `policy.keys`.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import re

from nova_migpolicy.cmd import wrong
from nova_migpolicy import exception

_WHOLE = re.compile(r'[+-]?[0-9]{1,18}')


@dataclasses.dataclass(frozen=True)
class Number:
    """A number with its range, both ends included; unit is for people."""

    minimum: float
    maximum: float
    unit: str = ''
    whole: bool = False

    def _with_unit(self, value: float) -> str:
        return f'{value:,.12g} {self.unit}'.strip()

    def trouble(self, given: object) -> str | None:
        """What is wrong with a value, as a part of a sentence; None if nothing is."""
        if isinstance(given, bool) or not isinstance(given, (str, int, float)):
            return 'not a number'
        if self.whole and not _WHOLE.fullmatch(str(given).strip()):
            return 'not a whole number'
        try:
            value = float(given)
        except (ValueError, OverflowError):
            return 'not a number'
        if not math.isfinite(value):
            return 'not a finite number'
        if value < self.minimum:
            return f'below the minimum of {self._with_unit(self.minimum)}'
        if value > self.maximum:
            return f'above the maximum of {self._with_unit(self.maximum)}'
        return None

    def read(self, field: str, given: object) -> float:
        """The value of a field; a whole number if it has to be one.

        :raises wrong.BadInput: if it is none or out of range.
        """
        trouble = self.trouble(given)
        if trouble is not None:
            raise wrong.BadInput(field, given, trouble)
        return int(str(given)) if self.whole else float(str(given))

    def __call__(self, text: str) -> float:
        """Read it for argparse, which names the option itself."""
        trouble = self.trouble(text)
        if trouble is not None:
            raise argparse.ArgumentTypeError(f'{exception.shown(text)}: {trouble}')
        return int(text) if self.whole else float(text)


MEMORY_MIB = Number(1, 64 << 20, 'MiB', whole=True)
DISK_MIB = Number(0, 1 << 30, 'MiB', whole=True)
SET_MIB = Number(1, 64 << 20, 'MiB')
UNTOUCHED_MIB = Number(0, 64 << 20, 'MiB', whole=True)
WRITE_MIB_S = Number(0, 1_000_000, 'MiB/s')
LINK_MIB_S = Number(1, 1_000_000, 'MiB/s')
SECONDS = Number(0.1, 2_592_000, 's')
SHARE = Number(0, 1)
SKEW = Number(0, 5)
JITTER_PERCENT = Number(0, 50, 'percent')
SEED = Number(0, (1 << 31) - 1, whole=True)
