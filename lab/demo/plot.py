# SPDX-License-Identifier: Apache-2.0
"""Draws the demo's migrations: what remains, and the rates, over time, decisions marked."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
import textwrap
from typing import Any

import matplotlib

from lab.demo import track as track_mod

REMAINING, BANDWIDTH, DIRTY, DECISION = '#3b6ea8', '#2f8f5b', '#c65d2e', '#7a3b8f'


def draw(tracks: Sequence[track_mod.Track], path: pathlib.Path) -> None:
    """Save one picture with a column for each migration."""
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(
        2, len(tracks), figsize=(6.5 * len(tracks), 7.5), sharex=True, sharey='row',
        squeeze=False)
    for column, track in enumerate(tracks):
        _remaining(axes[0][column], track)
        _rates(axes[1][column], track)
        _decisions(axes[0][column], axes[1][column], track)
    axes[0][0].set_ylabel('memory still to be sent, MiB')
    axes[1][0].set_ylabel('MiB/s')
    for row in axes:
        # A row shares its scale, so it is set once all of the row is drawn.
        row[0].set_ylim(bottom=0)
    for axis in axes[1]:
        axis.set_xlabel('seconds since the migration was asked for')
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _remaining(axis: Any, track: track_mod.Track) -> None:
    memory = [point for point in track.points if point.memory_remaining_mib]
    axis.fill_between([p.at_s for p in memory], [p.memory_remaining_mib for p in memory],
                      color=REMAINING, alpha=0.25)
    axis.plot([p.at_s for p in memory], [p.memory_remaining_mib for p in memory],
              color=REMAINING)
    axis.grid(alpha=0.25)
    ending = 'aborted by hand' if track.aborted else track.status
    if track.total_s is not None:
        ending += f' after {track.total_s:.1f} s'
    if track.blackout_ms is not None:
        ending += f', blackout {track.blackout_ms:.0f} ms'
    axis.set_title(f'{track.title}\n{ending}', fontsize=11)


def _rates(axis: Any, track: track_mod.Track) -> None:
    axis.plot([p.at_s for p in track.points], [p.bandwidth_mib_s for p in track.points],
              color=BANDWIDTH, label='sent')
    axis.plot([p.at_s for p in track.points], [p.dirty_mib_s for p in track.points],
              color=DIRTY, linestyle='--', label='dirtied (as QEMU counts it)')
    axis.grid(alpha=0.25)
    axis.legend(loc='upper left', fontsize=9)


def _decisions(upper: Any, lower: Any, track: track_mod.Track) -> None:
    marked = [decided for decided in track.decisions
              if decided.actions or decided.rule == 'operator']
    for number, decided in enumerate(marked):
        for axis in (upper, lower):
            axis.axvline(decided.at_s, color=DECISION, linewidth=1.2, linestyle=':')
        said = '; '.join(decided.actions) or 'retuned by the operator'
        upper.annotate(
            textwrap.fill(said, 24), (decided.at_s, 1),
            xycoords=('data', 'axes fraction'), xytext=(4, -8 - 30 * (number % 3)),
            textcoords='offset points', fontsize=8, color=DECISION, va='top')
