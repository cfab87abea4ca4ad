# SPDX-License-Identifier: Apache-2.0
"""Storms as they might have been seen."""

from __future__ import annotations

from bench.storm import plan
from bench.storm import result

ARRIVED = {'outcome': 'completed', 'homes': ('n3',), 'settled_s': 9.0}


def move(name='one', **seen):
    """Return a guest of 50 MiB that was asked for at once and has arrived after 6 s."""
    return result.Move(**{
        'name': name, 'load': 'idle', 'source': 'n1', 'memory_mib': 52,
        'ideal_bytes': 50 * plan.MIB, 'asked_s': 0.1, 'flowed_s': 2.0, 'left_s': 5.0,
        'came_s': 5.25, 'blackout_ms': 250.0, 'least_blackout_ms': 240.0, 'ended_s': 6.0,
        'sent_bytes': 60 * plan.MIB, **ARRIVED, **seen})


def lost(name='lost', **seen):
    """Return one that flowed for 4 s and was aborted."""
    return move(name, **{
        'left_s': None, 'came_s': None, 'blackout_ms': None, 'least_blackout_ms': None,
        'outcome': 'error', 'homes': ('n1',), **seen})


def storm(*moves, **seen):
    """Return a storm of ours with two slots."""
    return result.Storm(**{
        'config': 'ours-2', 'set_to': 'max_incoming 2', 'limit': 2, 'moves': moves,
        'incoming': ((0.0, 0), (2.0, 1)), 'most_outgoing': {'n1': 1, 'n2': 0},
        'timeout_s': 300.0, 'ideal_s': 2.0, **seen})
