# SPDX-License-Identifier: Apache-2.0
"""Draws trials: the memory that remains to be sent over time, with the decisions marked.

Each policy has a panel of its own and all share their axes. The scale is logarithmic: the sizes
that decide about a migration are far below that of its memory.
"""

from __future__ import annotations

from collections import abc
import itertools
import textwrap
import typing

from nova_migpolicy.cmd.simulate import inputs
from nova_migpolicy.cmd.simulate import report
from nova_migpolicy.cmd.simulate import trial as trial_mod
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import remedies
from nova_migpolicy.engine import settings as settings_mod
from nova_migpolicy import vocabulary

REMAINING, DECISION, BLACKOUT, POST_COPY = '#3b6ea8', '#7a3b8f', '#c0392b', '#2f8f5b'
ENDS = {'completed': '#1e7d45', 'aborted': '#b36b00', 'running': '#c0392b'}
COLUMNS = 3
_NOTHING_DONE = {vocabulary.ON_STALL: 'no remedy is enough',
                 vocabulary.ON_TIMEOUT: 'the deadline'}
# A logarithm needs more than nothing.
_LEAST_MIB = 1e-3
_PANEL_INCHES = (6.0, 4.2)
# The scale reaches from this part of the largest size down, and from it up to the marks.
_FLOOR, _ROOM = 1 / 4000, 12
_PARTS = 16
_LABEL_ROWS = 5
_MOST_LABELS = 12
_PAPER = {'facecolor': 'white', 'alpha': 0.85, 'linewidth': 0, 'pad': 1.0}


def draw(trials: abc.Sequence[trial_mod.Trial], title: str, path: str) -> None:
    """Save the picture as a PNG file.

    :raises inputs.BadInput: if it cannot be drawn or not be saved.
    """
    shown = [trial for trial in trials if trial.run is not None]
    if not shown:
        raise inputs.BadInput('--plot', path, 'there is nothing to draw: no policy was simulated')
    try:
        import matplotlib
        matplotlib.use('Agg')
        from matplotlib import pyplot
    except ImportError as error:
        raise inputs.BadInput('--plot', path, (
            "drawing needs matplotlib: pip install 'nova_migpolicy[simulate]'")) from error
    columns = 2 if len(shown) == 4 else min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure, axes = pyplot.subplots(
        rows, columns, sharex=True, sharey=True, squeeze=False,
        figsize=(max(7.0, _PANEL_INCHES[0] * columns), _PANEL_INCHES[1] * rows + 0.7))
    panels = list(axes.flat)
    for axis, trial in zip(panels, shown, strict=False):
        _panel(axis, trial)
    for axis in panels[len(shown):]:
        axis.set_visible(False)
    _scales(panels, shown)
    for axis in axes[:, 0]:
        axis.set_ylabel('memory still to be sent')
    for axis in panels[max(0, len(shown) - columns):len(shown)]:
        axis.set_xlabel('seconds since the start')
        axis.tick_params(labelbottom=True)
    figure.suptitle(textwrap.fill(title, 55 * columns + 20), fontsize=10)
    figure.tight_layout()
    try:
        figure.savefig(path, dpi=110, format='png')
    except (OSError, ValueError) as error:
        raise inputs.BadInput('--plot', path, (
            f'it cannot be written: {getattr(error, "strerror", None) or error}')) from error
    finally:
        pyplot.close(figure)


def _scales(panels: abc.Sequence[typing.Any], shown: abc.Sequence[trial_mod.Trial]) -> None:
    """Set the scales that all panels share; with room above for the marks."""
    from matplotlib import ticker
    most = max(1.0, *(mib for trial in shown for _, mib in trial.points))
    last_s = max(trial.run.seconds for trial in shown if trial.run is not None)
    panels[0].set_yscale('log')
    panels[0].set_ylim(most * _FLOOR, most * _ROOM)
    panels[0].set_xlim(0, last_s * 1.04)
    for axis, trial in zip(panels, shown, strict=False):
        axis.yaxis.set_major_formatter(ticker.FuncFormatter(
            lambda mib, _at: '' if mib > 2 * most else f'{mib:,.6g} MiB'))
        if trial.deadline_s is not None and trial.deadline_s <= last_s:
            axis.axvline(trial.deadline_s, color='black', linewidth=1, linestyle='--')
            axis.annotate('deadline', (trial.deadline_s, 0.04), rotation=90, fontsize=8.5,
                          xycoords=('data', 'axes fraction'), xytext=(2, 0),
                          textcoords='offset points')


def _panel(axis: typing.Any, trial: trial_mod.Trial) -> None:
    ran = trial.run
    if ran is None:
        return
    points = list(_curved(trial.points))
    times = [at_s for at_s, _ in points]
    sizes = [max(mib, _LEAST_MIB) for _, mib in points]
    axis.fill_between(times, sizes, _LEAST_MIB, color=REMAINING, alpha=0.2, linewidth=0)
    axis.plot(times, sizes, color=REMAINING, linewidth=0.9)
    axis.grid(alpha=0.25)
    axis.set_title(f'{trial.case.name}: {report.outcome(trial)} after '
                   f'{figures.span(ran.seconds)}', fontsize=11, color=ENDS[ran.end], loc='left')
    _after(axis, trial, ran.seconds)
    _blackout(axis, trial)
    _decisions(axis, labels(trial), ran.seconds)


def _curved(points: abc.Sequence[trial_mod.Point]) -> abc.Iterator[trial_mod.Point]:
    """Generate the points with more between them: a straight line is curved on this scale."""
    for (begin_s, first), (end_s, last) in itertools.pairwise(points):
        parts = _PARTS if end_s > begin_s and min(first, last) < 0.8 * max(first, last) else 1
        for part in range(parts):
            share = part / parts
            yield begin_s + (end_s - begin_s) * share, first + (last - first) * share
    yield from points[-1:]


def _after(axis: typing.Any, trial: trial_mod.Trial, end_s: float) -> None:
    """Shade the time of post-copy, and that of a pause."""
    for kind, colour in ((remedies.StartPostCopy, POST_COPY), (remedies.Pause, BLACKOUT)):
        since_s = trial.did(kind)
        if since_s is not None:
            axis.axvspan(since_s, end_s, color=colour, alpha=0.25, linewidth=0)


def _blackout(axis: typing.Any, trial: trial_mod.Trial) -> None:
    """Write the guest's blackout at the end."""
    ran = trial.run
    if ran is None or ran.blackout_ms is None:
        return
    promised = f'promised {trial.case.policy.max_downtime_ms} ms'
    if trial.did(remedies.Pause) is not None:
        promised = f'a pause is outside of the {promised[9:]} promised'
    said = f'blackout {figures.blackout(ran.blackout_ms)}\n({promised})'
    begin_s = trial.did(remedies.StartPostCopy)
    begin_s = max(0.0, ran.seconds - ran.blackout_ms / 1000) if begin_s is None else begin_s
    axis.axvline(begin_s, color=BLACKOUT, linewidth=1.6)
    axis.annotate(said, (begin_s, 0.04), xycoords=('data', 'axes fraction'), xytext=(-5, 0),
                  textcoords='offset points', fontsize=8.5, color=BLACKOUT, ha='right',
                  va='bottom', bbox=_PAPER)


def _decisions(axis: typing.Any, said: abc.Sequence[tuple[float, str]], end_s: float) -> None:
    for number, (at_s, text) in enumerate(said):
        axis.axvline(at_s, color=DECISION, linewidth=1.1, linestyle=':')
        if number >= _MOST_LABELS:
            continue
        right = at_s > 0.4 * end_s
        axis.annotate(
            text, (at_s, 1), xycoords=('data', 'axes fraction'), fontsize=8.5, color=DECISION,
            xytext=(-3 if right else 3, -4 - 13 * (number % _LABEL_ROWS)), va='top',
            textcoords='offset points', ha='right' if right else 'left', bbox=_PAPER)


def labels(trial: trial_mod.Trial) -> list[tuple[float, str]]:
    """Return the decisions in a few words each, with their times."""
    found = []
    promised_ms = settings_mod.initial_promise_ms(trial.case.policy)
    for decision in trial.run.decisions if trial.run else ():
        parts = []
        for action in decision.actions:
            if isinstance(action, remedies.SetMaxDowntime):
                # QEMU's limit follows the cap; that alone is no news.
                if action.promised_ms != promised_ms:
                    parts.append(f'blackout up to {action.promised_ms} ms')
                promised_ms = action.promised_ms
            else:
                parts.append(_action(action))
        found.append((decision.at_s, ', '.join(parts) or _NOTHING_DONE.get(
            decision.rule, decision.rule.replace('_', ' '))))
    return found


def _action(action: remedies.Action) -> str:
    if isinstance(action, remedies.SetBandwidth):
        return f'{action.mib_s} MiB/s' if action.mib_s else 'no cap'
    if isinstance(action, remedies.SetThrottle):
        return f'throttle {action.percent} %'
    return action.name.removeprefix('start_').replace('_', '-')
