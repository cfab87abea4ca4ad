# SPDX-License-Identifier: Apache-2.0
"""One page of small multiples for a contest: who arrives, how fast, and what it costs.

Ours is drawn strong, the oracle dashed, each family of peers in one colour. Losses are drawn in
the same places as wins.
"""

from __future__ import annotations

from collections import abc
import math
import pathlib
from typing import Any

import matplotlib

from bench.contest import oracle
from bench.contest import result
from bench.contest import score as score_mod

OURS, ORACLE = '#b3261e', '#111111'
_FAMILIES = {'nova': '#3b6ea8', 'auto': '#7fa7cf', 'vdsm': '#2f8f5b', 'kube': '#c98a1b'}
_STYLES = ('-', '--', ':', '-.')
_WAYS = {'nothing': '#9a9a9a', 'bandwidth': '#3b6ea8', 'downtime': '#2f8f5b',
         'auto_converge': '#c98a1b', 'post_copy': '#7a3b8f', 'pause': '#b3261e'}
_ENDS = (('in time', '#2f8f5b'), ('late', '#c9c14b'), ('aborted', '#c98a1b'),
         ('still running', '#b3261e'))


def draw(score: score_mod.Score, path: pathlib.Path, title: str) -> None:
    """Save the page as a PNG."""
    matplotlib.use('Agg')
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(2, 4, figsize=(19, 9.5))
    _ends(axes[0][0], score)
    _against_oracle(axes[0][1], score)
    _promise(axes[0][2], score)
    _etas(axes[0][3], score)
    _against_peer(axes[1][0], score)
    _against_oracle_by_guest(axes[1][1], score)
    _lost(axes[1][2], score)
    _wasted(axes[1][3], score)
    for axis in axes.flat:
        _plain_numbers(axis.xaxis)
        _plain_numbers(axis.yaxis)
    handles, names = axes[0][1].get_legend_handles_labels()
    figure.legend(handles, names, loc='lower center', ncols=len(names), fontsize=9,
                  frameon=False)
    figure.suptitle(title, fontsize=14)
    figure.tight_layout(rect=(0, 0.035, 1, 0.98))
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def _look(name: str, engines: abc.Sequence[str]) -> dict[str, Any]:
    if name == score_mod.OURS:
        return {'color': OURS, 'linewidth': 2.6, 'zorder': 5}
    if name == oracle.NAME:
        return {'color': ORACLE, 'linewidth': 1.5, 'linestyle': '--'}
    family = [one for one in engines if one[:4] == name[:4]]
    return {'color': _FAMILIES.get(name[:4], '#777777'), 'linewidth': 1.2,
            'linestyle': _STYLES[family.index(name) % len(_STYLES)]}


def _steps(axis: Any, values: abc.Sequence[float], whole: int, look: dict[str, Any],
           name: str) -> None:
    """The share of all cases that is at most so much."""
    ranked = sorted(values)
    if not ranked or not whole:
        return
    axis.step([ranked[0], *ranked, ranked[-1]],
              [0.0, *((number + 1) / whole for number in range(len(ranked))),
               len(ranked) / whole], where='post', label=name, **look)


def _plain_numbers(axis: Any) -> None:
    """Say 0.5 and 20 on a logarithmic axis, also where it spans less than a decade."""
    from matplotlib import ticker
    if axis.get_scale() != 'log':
        return
    low, high = axis.get_view_interval()
    decades = math.log10(high / low)
    steps = (1, 1.5, 2, 3, 5, 7) if decades < 1 else (1, 2, 5) if decades < 3 else (1,)
    axis.set_major_locator(ticker.LogLocator(subs=steps))
    axis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f'{value:g}'))
    axis.set_minor_formatter(ticker.NullFormatter())


def _ends(axis: Any, score: score_mod.Score) -> None:
    cases = score.feasible()
    names = sorted(score.engines, key=lambda name: score.outcome(name)[0])
    for row, name in enumerate(names):
        left = 0.0
        for share, (word, color) in zip(
                _shares([case[name] for case in cases if name in case]), _ENDS, strict=True):
            axis.barh(row, share, left=left, color=color, label=word if not row else None)
            left += share
    axis.set_yticks(range(len(names)), names, fontsize=9)
    for label in axis.get_yticklabels():
        if label.get_text() == score_mod.OURS:
            label.set_color(OURS)
            label.set_fontweight('bold')
    axis.set_xlim(min(0.8, *(score.outcome(name)[0] / max(score.outcome(name)[1], 1) - 0.05
                             for name in names)), 1)
    axis.legend(fontsize=8, loc='upper center', ncols=len(_ENDS), bbox_to_anchor=(0.4, -0.11),
                frameon=False, handlelength=1, columnspacing=1)
    axis.set_title(f'What came of {len(cases)} guests\nthat some plan moves in time', fontsize=10)


def _shares(runs: list[result.Result]) -> list[float]:
    """The shares that arrive in time, later, are aborted, and still run."""
    counts = (sum(one.in_time for one in runs),
              sum(one.end == 'completed' and not one.in_time for one in runs),
              sum(one.end == 'aborted' for one in runs),
              sum(one.end == 'running' for one in runs))
    return [count / max(len(runs), 1) for count in counts]


def _against_oracle(axis: Any, score: score_mod.Score) -> None:
    for name in score.engines:
        ratios = [ratio for ratio, _, _ in score.against_oracle(name, 'seconds')]
        _steps(axis, [min(ratio, 20.0) for ratio in ratios], score.outcome(name)[1],
               _look(name, score.engines), name)
    axis.set_xscale('log')
    axis.set_xlim(0.9, 20)
    axis.set_xticks([1, 2, 5, 10, 20], ['1', '2', '5', '10', '20'])
    axis.grid(alpha=0.25)
    axis.set_title('Total time ÷ oracle, share of the guests\n'
                   '(who does not arrive in time never gets there)', fontsize=10)
    axis.set_ylabel('share of the guests')


def _promise(axis: Any, score: score_mod.Score) -> None:
    for name in score.engines:
        made = [one for one in score.runs(name) if one.promised]
        _steps(axis, [min((one.blackout_ms or 0.0) / one.promise_ms, 4.0) for one in made],
               len(made), _look(name, score.engines), name)
    axis.axvline(1.0, color='#555555', linewidth=1)
    axis.set_xlim(0, 2.5)
    axis.grid(alpha=0.25)
    axis.set_title('Blackout ÷ the promised one\n'
                   '(of migrations that were not paused)', fontsize=10)
    axis.set_ylabel('share of the migrations')


def _etas(axis: Any, score: score_mod.Score) -> None:
    errors = [[100 * eta.error for one in score.runs(score_mod.OURS) for eta in one.etas
               if eta.number == number and eta.foretold] for number in range(6)]
    axis.boxplot([row or [0.0] for row in errors], whis=(5, 95), showfliers=False,
                 medianprops={'color': OURS})
    axis.set_xticks(range(1, 7), [f'{number}\n{len(row)}' for number, row in enumerate(errors)])
    for number, most in ((2, 25), (3, 12)):
        axis.plot([number - 0.4, number + 0.4], [most, most], color='#555555', linewidth=1)
    axis.grid(alpha=0.25, axis='y')
    axis.set_title('Error of our ETA, % of the whole time\n'
                   '(5, 25, 50, 75, 95 %; grey: targets for the p90)', fontsize=10)
    axis.set_xlabel('after pass (0: bulk copy); how many')


def _cloud(axis: Any, found: list[tuple[float, Any, Any]]) -> None:
    for way, color in _WAYS.items():
        rows = [(mine.memory_mib / 1024, ratio) for ratio, mine, _ in found if mine.way == way]
        if rows:
            axis.scatter(*zip(*rows, strict=True), s=14, alpha=0.6, color=color,
                         label=f'{way.replace("_", "-")} ({len(rows)})')
    axis.axhline(1.0, color='#555555', linewidth=1)
    axis.set_xscale('log')
    axis.set_yscale('log')
    axis.grid(alpha=0.25)
    if found:
        axis.legend(fontsize=8, title='ours took', title_fontsize=8)
    axis.set_xlabel('memory, GiB')


def _against_peer(axis: Any, score: score_mod.Score) -> None:
    found = score.against_peers()
    _cloud(axis, found)
    axis.set_title('Total time, ours ÷ the best of the peers, by guest\n'
                   '(below 1 ours is faster)', fontsize=10)


def _against_oracle_by_guest(axis: Any, score: score_mod.Score) -> None:
    _cloud(axis, score.against_oracle(score_mod.OURS, 'seconds'))
    axis.set_title('Total time, ours ÷ oracle, by guest', fontsize=10)


def _lost(axis: Any, score: score_mod.Score) -> None:
    for name in score.engines:
        runs = [one for one in score.runs(name) if one.end == 'completed']
        _steps(axis, [max(one.lost_s, 0.01) for one in runs], len(runs),
               _look(name, score.engines), name)
    axis.set_xscale('log')
    axis.set_ylim(0.5, 1.005)
    axis.grid(alpha=0.25)
    axis.set_title('Work that a guest lost\n(of those that arrived)', fontsize=10)
    axis.set_xlabel('seconds of one processor')
    axis.set_ylabel('share of the migrations')


def _wasted(axis: Any, score: score_mod.Score) -> None:
    names = [name for name in score.engines if score.wasted(name).count]
    values = [[one.wire_mib / (one.memory_mib + one.disk_mib) for one in score.runs(name)
               if one.end == 'aborted'] for name in names]
    if names:
        axis.boxplot(values, whis=(5, 95), showfliers=False, vert=False,
                     medianprops={'color': OURS})
        axis.set_yticks(range(1, len(names) + 1),
                        [f'{name} ({len(row)})' for name, row in zip(names, values, strict=True)],
                        fontsize=9)
        axis.set_xscale('log')
    axis.grid(alpha=0.25, axis='x')
    axis.set_title('Sent in vain by aborted migrations\n'
                   '÷ memory and disks (and how many)', fontsize=10)
