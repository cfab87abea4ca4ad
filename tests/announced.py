# SPDX-License-Identifier: Apache-2.0
"""Reads the blackout that a decision tells of."""

from __future__ import annotations

import re

SPAN = re.compile(r'(?:sent|ends it) in (about |at most |)([\d.]+) (s|min)'
                  r'(?: to ([\d.]+) (s|min))?')


def blackout_s(reason):
    """The blackout that a reason tells of in seconds: from and to, which may be the same.

    What lasts "at most" so long may be over at once.
    """
    about, first, unit, last, its_unit = SPAN.search(reason).groups()
    least = float(first) * (60 if unit == 'min' else 1)
    most = least if last is None else float(last) * (60 if its_unit == 'min' else 1)
    return 0.0 if about == 'at most ' else least, most
