# SPDX-License-Identifier: Apache-2.0
"""A Gantt chart of each storm: who waited, copied and switched over when, and what was ideal."""

from __future__ import annotations

from collections.abc import Sequence
import pathlib
from typing import Any

import matplotlib

from bench.storm import result

COLORS = {result.WAITING: '#d4d4d4', result.COPYING: '#3b6ea8', result.SWITCHOVER: '#b3261e',
          result.FINISHING: '#8fb98f'}
_LOST = '#b3261e'
#: a switchover of 100 ms is thinner than a line on a page of a minute
_EDGE_POINTS = 2.0


def draw(storms: Sequence[result.Storm], path: pathlib.Path) -> None:
    """Save the page as a PNG."""
    matplotlib.use('Agg')
    from matplotlib import lines
    from matplotlib import patches
    from matplotlib import pyplot
    columns = min(3, len(storms))
    rows = -(-len(storms) // columns)
    figure, axes = pyplot.subplots(rows, columns, figsize=(6.5 * columns, 0.9 + 4.2 * rows),
                                   squeeze=False)
    for axis, storm in zip(axes.flat, storms, strict=False):
        _storm(axis, storm)
    for axis in axes.flat[len(storms):]:
        axis.set_visible(False)
    handles: list[Any] = [patches.Patch(color=color, label=what)
                          for what, color in COLORS.items()]
    handles += [lines.Line2D([], [], color='#111111', linestyle='--', label='ideal'),
                lines.Line2D([], [], color=_LOST, linestyle='', marker='x',
                             label='did not arrive')]
    # A page of one storm is too narrow for all of it in a line.
    lines_of_legend = 1 if columns > 1 else 2
    figure.legend(handles=handles, loc='lower center', ncols=len(handles) // lines_of_legend,
                  frameon=False)
    figure.tight_layout(rect=(0, 0.3 * lines_of_legend / figure.get_figheight(), 1, 1))
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _storm(axis: Any, storm: result.Storm) -> None:
    for row, move in enumerate(storm.moves):
        for what, from_s, to_s in move.spans():
            is_thin = what == result.SWITCHOVER
            axis.barh(row, to_s - from_s, left=from_s, height=0.7, color=COLORS[what],
                      edgecolor=COLORS[what] if is_thin else 'none',
                      linewidth=_EDGE_POINTS if is_thin else 0, zorder=3 if is_thin else 2)
        if not move.has_arrived and move.over_s is not None:
            axis.plot([move.over_s], [row], color=_LOST, marker='x', markersize=8, zorder=4)
    axis.axvline(storm.ideal_s, color='#111111', linestyle='--', linewidth=1, zorder=1)
    axis.set_yticks(range(len(storm.moves)),
                    [f'{one.name} ({one.source})' for one in storm.moves], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, max(storm.makespan_s, storm.ideal_s) * 1.03)
    axis.set_xlabel('seconds from the first request', fontsize=9)
    axis.grid(alpha=0.25, axis='x', zorder=0)
    least = 'more than ' if storm.is_overdue else ''
    axis.set_title(
        f'{storm.config}: {storm.set_to}\n{len(storm.arrived)} of {len(storm.moves)} arrived, '
        f'{least}{storm.share:.2f} times the ideal, at most {storm.most_incoming} came at once',
        fontsize=10)
