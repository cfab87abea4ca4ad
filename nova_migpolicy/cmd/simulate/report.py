# SPDX-License-Identifier: Apache-2.0
"""Prints trials: a row for each policy, then the decisions under each, with their reasons.

The reasons of decisions are the engine's own sentences and are not written here. The text is the
same with or without rich; where that is installed and the output is a terminal, it has colours.
"""

from __future__ import annotations

from collections import abc
import dataclasses
import shutil
import textwrap
import typing

from nova_migpolicy.cmd.simulate import trial as trial_mod
from nova_migpolicy.engine import figures
from nova_migpolicy.engine import remedies
from nova_migpolicy.policy import keys

OUTCOMES = {'completed': 'completes', 'aborted': 'is aborted', 'running': 'runs on'}
STOCK = 'not simulated'
STOCK_SENTENCE = (
    f"is Nova's own loop (profile {keys.STOCK_PROFILE}), which is not simulated here; in a "
    'checkout of the source, python -m bench measures it beside this engine.')
# Less lost work of a guest is not mentioned.
_LITTLE_S = 0.5
_MANY_S = 1000.0
COLUMNS = ('policy', 'outcome', 'time', 'deadline', 'blackout', 'promised', 'lost work', 'sent',
           'passes')
WIDTH = 100
NARROWEST = 60
_NAME, _SHORT_NAME = 30, 16
_LEAST_COLUMNS = 3
_LEFT = ('policy', 'outcome')
_STYLES = {'completes': 'green', 'is aborted': 'yellow', 'runs on': 'red'}
_TIME = 12
# The JSON has all of them.
_MOST_DECISIONS = 40


def outcome(trial: trial_mod.Trial) -> str:
    """Return the outcome in a word or two."""
    return STOCK if trial.run is None else OUTCOMES[trial.run.end]


def verdict(trial: trial_mod.Trial) -> str:
    """Describe the result in a sentence, without the policy's name before it."""
    ran = trial.run
    if ran is None:
        return STOCK_SENTENCE
    took = figures.span(ran.seconds)
    sent = figures.size(ran.wire_bytes)
    if ran.end == 'completed':
        return f'completes {_in_time(trial, took)}{_blackout(trial)}{_lost(trial)}.'
    if ran.end == 'aborted':
        early = '' if trial.deadline_s is None or trial.deadline_s - ran.seconds < 1 else (
            f', {figures.span(trial.deadline_s - ran.seconds)} before its deadline')
        return (f'is aborted after {took}{early}: the server stays where it is, and {sent} were '
                'sent for nothing.')
    late = ', past its deadline' if trial.deadline_s and ran.seconds > trial.deadline_s else ''
    return f'runs on: no end is in sight after {took}{late}, with {sent} sent.'


def _in_time(trial: trial_mod.Trial, took: str) -> str:
    ran, deadline_s = trial.run, trial.deadline_s
    by_itself = '' if ran is not None and ran.applied else ' by itself'
    if deadline_s is None or ran is None:
        return f'{by_itself.lstrip()} in {took}'.lstrip()
    if ran.seconds > deadline_s:
        return f'in {took}, {figures.span(ran.seconds - deadline_s)} after its deadline'
    return f'{by_itself.lstrip()} in {took} of the {figures.span(deadline_s)} it has'.lstrip()


def _blackout(trial: trial_mod.Trial) -> str:
    ran, promised_ms = trial.run, trial.case.policy.max_downtime_ms
    if ran is None or ran.blackout_ms is None:
        return ''
    felt = figures.blackout(ran.blackout_ms)
    if trial.did(remedies.Pause) is not None:
        return (f'; the server stands still for {felt}, since a pause is outside of '
                f'max_downtime_ms ({promised_ms} ms)')
    if trial.did(remedies.StartPostCopy) is not None:
        return f'; the server moves first, with a blackout of {felt}, and its memory follows'
    kept = 'within' if ran.blackout_ms <= promised_ms else 'MORE than'
    return f', with a blackout of {felt}, {kept} the {promised_ms} ms promised'


def _lost(trial: trial_mod.Trial) -> str:
    ran = trial.run
    if ran is None or trial.did(remedies.Pause) is not None:
        return ''
    lost_s = ran.lost_s - (ran.blackout_ms or 0.0) / 1000
    return '' if lost_s < _LITTLE_S else (
        f'; on the way it loses {figures.span(lost_s)} of the work of each busy processor')


def values(trial: trial_mod.Trial) -> dict[str, object]:
    """Return the figures of a trial for JSON; None for figures that do not exist."""
    ran, case = trial.run, trial.case
    found: dict[str, object] = {
        'policy': case.name, 'outcome': ran.end if ran else None, 'verdict': verdict(trial)}
    if ran is not None:
        found.update(
            total_seconds=round(ran.seconds, 3),
            deadline_seconds=trial.deadline_s,
            blackout_ms=None if ran.blackout_ms is None else round(ran.blackout_ms, 1),
            max_downtime_ms=case.policy.max_downtime_ms,
            lost_cpu_seconds=round(ran.lost_s, 3),
            wire_bytes=ran.wire_bytes, passes=ran.passes,
            decisions=[one.to_dict() for one in ran.decisions])
    found.update(
        values={name: list(value) if isinstance(value := getattr(case.policy, name), tuple)
                else value for name in keys.KEYS},
        origins=dict(case.origins), warnings=[*case.warnings, *trial.notes])
    return found


def cells(trial: trial_mod.Trial) -> tuple[str, ...]:
    """Make a row under COLUMNS."""
    ran = trial.run
    if ran is None:
        return (trial.case.name, STOCK, *[''] * (len(COLUMNS) - 2))
    return (trial.case.name, outcome(trial), figures.span(ran.seconds),
            'none' if trial.deadline_s is None else figures.span(trial.deadline_s),
            'none' if ran.blackout_ms is None else figures.blackout(ran.blackout_ms),
            figures.blackout(trial.case.policy.max_downtime_ms),
            f'{ran.lost_s:.1f} s' if ran.lost_s < _MANY_S else figures.span(ran.lost_s),
            figures.size(ran.wire_bytes), f'{ran.passes:,}')


@dataclasses.dataclass(frozen=True)
class Line:
    """A line and its style on a terminal: '' for plain."""

    text: str = ''
    style: str = ''


def width() -> int:
    """Return the greatest width of the output."""
    return max(NARROWEST, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def lines(intro: abc.Sequence[str], trials: abc.Sequence[trial_mod.Trial],
          room: int) -> abc.Iterator[Line]:
    """Generate all lines, none of them wider than the room."""
    for text in intro:
        yield from (Line(one) for one in _wrapped(text, room))
    yield Line()
    yield from _table(trials, room)
    for trial in trials:
        yield Line()
        yield from _story(trial, room)


def _wrapped(text: str, room: int, indent: str = '', hang: str | None = None) -> list[str]:
    return textwrap.wrap(text, room, initial_indent=indent, break_on_hyphens=False,
                         subsequent_indent=indent if hang is None else hang)


def _short(name: str, room: int) -> str:
    return name if len(name) <= room else name[:room - 3] + '...'


def _table(trials: abc.Sequence[trial_mod.Trial], room: int) -> abc.Iterator[Line]:
    """Generate each policy's row; where there is no room, the last columns are left out."""
    rows = list(map(cells, trials))
    heads = COLUMNS
    wide = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    wide[0] = min(wide[0], _NAME)
    while sum(wide) + 2 * (len(wide) - 1) > room and len(wide) > _LEAST_COLUMNS:
        if wide[0] > _SHORT_NAME and len(wide) == len(COLUMNS):
            wide[0] -= 1
        else:
            wide.pop()

    def joined(row: abc.Iterable[str]) -> str:
        return '  '.join(
            _short(cell, size).ljust(size) if head in _LEFT else cell.rjust(size)
            for head, cell, size in zip(heads, row, wide, strict=False)).rstrip()

    yield Line(joined(heads), 'bold')
    yield Line('  '.join('-' * size for size in wide), 'dim')
    for row in rows:
        yield Line(joined(row), _STYLES.get(row[1], 'dim'))


def _story(trial: trial_mod.Trial, room: int) -> abc.Iterator[Line]:
    yield from (Line(one, 'bold') for one in _wrapped(
        f'{trial.case.name} {verdict(trial)}', room))
    for warning in (*trial.case.warnings, *trial.notes):
        yield from (Line(one, 'yellow') for one in _wrapped(
            f'  note: {warning}', room, hang=' ' * 8))
    if trial.run is None:
        return
    decisions = trial.run.decisions
    if not decisions:
        yield Line('  nothing had to be decided', 'dim')
    for decision in decisions[:_MOST_DECISIONS]:
        when = f'{decision.at_s:,.1f} s'.rjust(_TIME - 2)
        yield from (Line(one) for one in _wrapped(
            f'{when}  {decision.reason}', room, hang=' ' * _TIME))
    if len(decisions) > _MOST_DECISIONS:
        yield Line(f'  ... and {len(decisions) - _MOST_DECISIONS} more decisions (see -f json)',
                   'dim')


def show(found: abc.Iterable[Line], stream: typing.TextIO) -> None:
    """Print lines, with colours where the stream and the machine have them."""
    try:
        from rich import console as rich_console
    except ImportError:
        stream.writelines(f'{line.text}\n' for line in found)
        return
    console = rich_console.Console(file=stream, highlight=False, markup=False, emoji=False)
    for line in found:
        console.print(line.text, style=line.style or None, soft_wrap=True)
