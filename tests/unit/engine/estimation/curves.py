# SPDX-License-Identifier: Apache-2.0
"""Passes of a guest of which it is known how it writes, and what is made of them."""

from testtools import matchers

from nova_migpolicy.engine.estimation import dirtying
from nova_migpolicy.engine.estimation import passes as passes_mod

MIB = 1 << 20


def near(value, share=0.1):
    return matchers.MatchesAll(matchers.GreaterThan(value * (1 - share)),
                               matchers.LessThan(value * (1 + share)))


def went(number, seconds, dirtied, end=None, left=0, rate=50, start_s=None, throttle=0, cap=50,
         start=None, steady=True):
    """A pass, in MiB."""
    start_s = 100.0 * number if start_s is None else start_s
    end = dirtied + left if end is None else end
    sent = seconds * rate
    return passes_mod.Pass(
        number, start_s, start_s + seconds, int((start or sent + left) * MIB), int(end * MIB),
        int(left * MIB), int(dirtied * MIB), int(sent * MIB), int(sent * MIB), throttle, cap,
        steady, told=passes_mod.Told(int(sent * MIB), seconds))


def run(curve, *times):
    return [went(number, seconds, curve.dirtied(seconds) / MIB)
            for number, seconds in enumerate(times)]


def estimate(seen, cap=50, expected=50):
    return dirtying.estimate(seen, cap, expected * MIB)
