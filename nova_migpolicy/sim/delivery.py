# SPDX-License-Identifier: Apache-2.0
"""How a message comes: soon, late, twice or not at all."""

from __future__ import annotations

import random

#: how long a message takes, and one that is late
MESSAGE_S, LATE_S = (0.001, 0.1), (0.1, 20.0)


def draw(chance: random.Random, bad: float) -> tuple[str, list[float]]:
    """Draw what becomes of a message: a word for what is wrong with it, or '', and its delays.

    :param bad: how probably it is lost, doubled or late
    :return: the word, and for each time that it comes after how many seconds
    """
    if bad and chance.random() < bad:
        fate = chance.choice(('lost', 'doubled', 'late'))
        if fate == 'lost':
            return fate, []
        if fate == 'late':
            return fate, [chance.uniform(*LATE_S)]
        return fate, [chance.uniform(*MESSAGE_S), chance.uniform(*LATE_S)]
    return '', [chance.uniform(*MESSAGE_S)]
