# SPDX-License-Identifier: Apache-2.0
"""The picture of running migrations for a terminal: one in full, or many with a line each.

Only rich's objects are made here; when to draw, and on what, is the business of `screen`.
"""

from __future__ import annotations

from collections.abc import Sequence
import itertools

from rich import console as rich_console
from rich import progress_bar
from rich import table as rich_table
from rich import text as rich_text

from nova_migpolicy.osc.watching import sentences
from nova_migpolicy.osc.watching import status as status_mod
from nova_migpolicy.osc.watching import watched
from nova_migpolicy.osc import words
from nova_migpolicy import vocabulary

Story = Sequence[tuple[str, watched.Line]]
_COLOURS = {vocabulary.DECISION: 'magenta', vocabulary.RETUNE: 'cyan', vocabulary.ACTION: 'dim',
            'trouble': 'red', 'outcome': 'bold', 'note': 'dim'}
_ENDS = {vocabulary.COMPLETED: 'green', vocabulary.CANCELLED: 'yellow', vocabulary.FAILED: 'red',
         vocabulary.BROKEN: 'red'}
# The lines on the screen besides the story: the title, the bar, four rows of figures, air.
_FRAME_LINES = 10
# Of the screen's lines, at most this part is for the servers where there are many.
_SERVERS_PART = 0.6
_BAR = 12
_NARROW = 90


def single(watch: watched.Watch, story: Story, width: int, height: int,
           ) -> rich_console.RenderableType:
    """Draw one migration in full.

    :param width: of the picture, in characters
    :param height: of the screen, in lines; the older part of the story is left out
    """
    now = watch.view
    if now is None:
        return rich_text.Text(f'{watch.name}: {watch.trouble or watch.lost or "asking"}')
    return rich_console.Group(
        _title(watch, now), _bar(now, width), _figures(now, width),
        *_story(story, width, max(3, height - _FRAME_LINES)))


def several(watches: Sequence[watched.Watch], story: Story, width: int, height: int,
            ) -> rich_console.RenderableType:
    """Draw a line for each of many migrations; those that run come first."""
    room = max(3, int(height * _SERVERS_PART))
    shown = sorted(watches, key=_order)[:room]
    grid = rich_table.Table.grid(padding=(0, 1))
    fixed = (20 if width > _NARROW else 15, _BAR, 5, 18, 9)
    for column in (*fixed, max(8, width - sum(fixed) - len(fixed))):
        grid.add_column(width=column, no_wrap=True, overflow='ellipsis')
    for one in shown:
        grid.add_row(*_row(one))
    left = len(watches) - len(shown)
    return rich_console.Group(
        rich_text.Text(_count(watches), style='bold'), grid,
        *([rich_text.Text(f'... and {left} more', style='dim')] if left else []),
        *_story(story, width, max(3, height - len(shown) - 4)))


def _title(watch: watched.Watch, now: status_mod.View) -> rich_text.Text:
    hosts = f'{now.source} to {now.destination}' if now.source and now.destination else ''
    title = rich_text.Text.assemble(
        (watch.name, 'bold'), f', migration {watch.migration}', f', {hosts}' if hosts else '',
        ': ', _phase(now))
    if old := sentences.news(now):
        title.append(f'  ({old})', style='red')
    if watch.trouble:
        title.append(f'  (no news: {watch.trouble})', style='red')
    return title


def _phase(now: status_mod.View) -> tuple[str, str]:
    if now.over:
        return now.outcome or now.status, f'bold {_ENDS.get(now.outcome, "red")}'
    return now.phase, 'bold cyan'


def _bar(now: status_mod.View, width: int) -> rich_table.Table:
    percent = 100.0 if now.outcome == vocabulary.COMPLETED else now.percent
    row = rich_table.Table.grid(padding=(0, 1))
    row.add_row(progress_bar.ProgressBar(total=100, completed=percent or 0.0, width=width - 8),
                rich_text.Text('' if percent is None else f'{percent:.0f} %'))
    return row


def _figures(now: status_mod.View, width: int) -> rich_console.RenderableType:
    if now.over:
        return rich_text.Text(sentences.ending(now))
    left = [('rate', words.figure(now.bandwidth_mib_s, 'MiB/s')),
            ('pass', words.figure(now.pass_number or None)),
            ('left', words.figure(words.mib(now.remaining_bytes), 'MiB')),
            ('throttle', words.figure(now.throttle_percent or None, '% of CPU'))]
    right = [('ends', sentences.eta(now).removeprefix('ends ')),
             ('blackout', sentences.blackout(now).removeprefix('blackout ')),
             ('deadline', sentences.deadline(now).removeprefix('deadline ')),
             ('held', ', '.join(now.held))]
    grid = rich_table.Table.grid(padding=(0, 2))
    for column in (8, 14, 8, max(12, width - 36)):
        grid.add_column(width=column)
    blank = ('', '')
    for first, second in itertools.zip_longest(
            [one for one in left if one[1]], [one for one in right if one[1]], fillvalue=blank):
        grid.add_row(rich_text.Text(first[0], style='dim'), rich_text.Text(first[1]),
                     rich_text.Text(second[0], style='dim'), rich_text.Text(second[1]))
    waits = rich_text.Text(f'waits: {now.waits_for}') if now.waits_for else None
    return rich_console.Group(*([waits] if waits else []), grid)


def _story(story: Story, width: int, room: int) -> list[rich_console.RenderableType]:
    if not story:
        return []
    grid = rich_table.Table.grid(padding=(0, 1))
    grid.width = width
    grid.add_column(width=8, style='dim')
    grid.add_column(ratio=1)
    lines: list[tuple[str, rich_text.Text]] = []
    for name, line in reversed(story):
        said = rich_text.Text(f'{name}: ' if name else '')
        said.append(line.text, style=_COLOURS.get(line.kind, ''))
        room -= 1 + len(said.plain) // max(1, width - 9)
        if room < 0 and lines:
            break
        lines.append((words.clock(line.time), said))
    for when, said in reversed(lines):
        grid.add_row(when, said)
    return [rich_text.Text(), grid]


def _row(one: watched.Watch) -> tuple[rich_console.RenderableType, ...]:
    now = one.view
    name = rich_text.Text(one.name, style='bold')
    if now is None or one.lost:
        said = one.lost or one.trouble
        return (name, '', '', rich_text.Text('given up' if one.lost else '', style='red'), '',
                rich_text.Text(said))
    percent = 100.0 if now.outcome == vocabulary.COMPLETED else now.percent
    more = (sentences.ending(now) if now.over else sentences.news(now) or sentences.eta(now)
            or now.waits_for or sentences.blackout(now))
    return (name, progress_bar.ProgressBar(total=100, completed=percent or 0.0, width=_BAR),
            rich_text.Text('' if percent is None else f'{percent:.0f} %', justify='right'),
            rich_text.Text(*_phase(now)), words.figure(now.bandwidth_mib_s, 'MiB/s'),
            rich_text.Text(more))


def _order(one: watched.Watch) -> tuple[int, str]:
    now = one.view
    if one.over:
        return 3, one.name
    return (2 if now is None or now.waiting else 0), one.name


def _count(watches: Sequence[watched.Watch]) -> str:
    running = waiting = 0
    ends: dict[str, int] = {}
    for one in watches:
        if one.over:
            end = one.view.outcome if one.view and not one.lost else 'given up'
            ends[end] = ends.get(end, 0) + 1
        elif one.view is None or one.view.waiting:
            waiting += 1
        else:
            running += 1
    parts = [f'{running} running' if running else '', f'{waiting} waiting' if waiting else '',
             *(f'{count} {end}' for end, count in ends.items())]
    return f'{len(watches)} servers: ' + ', '.join(part for part in parts if part)
