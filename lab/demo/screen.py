# SPDX-License-Identifier: Apache-2.0
"""What the demo shows: steps as they pass, both migrations while they run, the table at the end.

On a terminal the migrations are redrawn in place; anywhere else each new fact is a line.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
import time

from rich import box
from rich import console as rich_console
from rich import live as rich_live
from rich import markup as rich_markup
from rich import table as rich_table

from lab.demo import track as track_mod

WIDTH = 100
# Without a terminal, one line a migration this often.
LINE_EVERY_S = 3.0


class Screen:
    """Prints steps with the time since the start, and follows tracks."""

    def __init__(self) -> None:
        self.console = rich_console.Console(width=WIDTH, highlight=False)
        self._started_s = time.monotonic()
        self._live: rich_live.Live | None = None
        self._next_line_s = 0.0

    def step(self, text: str) -> None:
        """Say what is being done now."""
        self.console.print(f'[dim]{time.monotonic() - self._started_s:6.1f}s[/]  {text}')

    def say(self, line: str) -> None:
        """Pass a line of a command on, as it is."""
        self.console.print(f'  [dim]|[/] {rich_markup.escape(line)}', soft_wrap=True)

    def follow(self, tracks: Sequence[track_mod.Track]) -> None:
        """Show where the migrations are; call it as often as there is news."""
        if self.console.is_terminal:
            if self._live is None:
                self._live = rich_live.Live(console=self.console, auto_refresh=False)
                self._live.start()
            self._live.update(running(tracks), refresh=True)
            return
        if time.monotonic() >= self._next_line_s:
            self._next_line_s = time.monotonic() + LINE_EVERY_S
            for track in tracks:
                self.step(f'{track.title}: {one_line(track)}')

    def pause_following(self) -> None:
        """Leave the last picture standing and go on below it."""
        if self._live is not None:
            self._live.stop()
            self._live = None


def one_line(track: track_mod.Track) -> str:
    """Where a migration is, in a line."""
    if track.over:
        return f'{track.status} after {track.total_s or 0:.1f} s'
    if not track.points:
        return track.status
    last = track.points[-1]
    if not last.memory_remaining_mib:
        return f'{track.status}: disks, {last.disk_remaining_mib:.0f} MiB to go'
    return (f'{track.status}: {last.memory_remaining_mib:.0f} MiB of memory to go at '
            f'{last.bandwidth_mib_s:.0f} MiB/s, {last.sent_mib:.0f} MiB sent, {eta(track)}')


def eta(track: track_mod.Track) -> str:
    """When it will be over, where somebody forecasts it."""
    if track.over:
        return f'over after {track.total_s or 0:.1f} s'
    if not track.forecast:
        return 'no forecast' if track.points else ''
    if not track.forecast.get('converges'):
        return 'does not converge as it is'
    seconds = track.forecast.get('eta_s')
    if seconds is None:
        return 'converges'
    return f'ends in about {seconds:.0f} s' if seconds >= 1 else 'ends at any moment'


def running(tracks: Sequence[track_mod.Track]) -> rich_table.Table:
    """The picture while migrations run."""
    table = rich_table.Table(box=box.SIMPLE, width=WIDTH)
    table.add_column('server')
    table.add_column('status')
    table.add_column('to go', justify='right')
    table.add_column('rate', justify='right')
    table.add_column('sent', justify='right')
    table.add_column('forecast and last decision')
    for track in tracks:
        table.add_row(track.title, track.status, *_now(track), '\n'.join(_outlook(track)))
    return table


def _now(track: track_mod.Track) -> tuple[str, str, str]:
    """What is to go, the rate, and what was sent."""
    sent = f'{track.sent_mib:.0f} MiB' if track.sent_mib else ''
    if track.over or not track.points:
        return '', '', sent
    last = track.points[-1]
    return (f'{last.memory_remaining_mib + last.disk_remaining_mib:.0f} MiB',
            f'{last.bandwidth_mib_s:.0f} MiB/s', sent)


def _outlook(track: track_mod.Track) -> Iterator[str]:
    """The forecast, and the last decision."""
    forecast = eta(track)
    if forecast:
        yield forecast
    if track.decisions and track.decisions[-1].reason:
        yield f'[magenta]{track.decisions[-1].reason}[/]'


def results(tracks: Sequence[track_mod.Track]) -> rich_table.Table:
    """The table at the end."""
    table = rich_table.Table(box=box.SIMPLE_HEAD, width=WIDTH)
    table.add_column('')
    for track in tracks:
        table.add_column(track.title)
    rows = (
        ('outcome', [f'{"aborted by hand: " if track.aborted else ""}{track.status}; '
                     f'server {track.server_status} on {track.host}'
                     for track in tracks]),
        ('total time', [f'{track.total_s:.1f} s' if track.total_s is not None else '-'
                        for track in tracks]),
        ('blackout (heartbeat)', [
            f'{track.blackout_ms:.0f} ms' if track.blackout_ms is not None else 'none: it stayed'
            for track in tracks]),
        ('sent', [f'{track.sent_mib:.0f} MiB' for track in tracks]),
        ('still beats', [
            f'{track.beats_after} beats in 1 s' if track.beats_after is not None else '-'
            for track in tracks]),
        ('decisions', ['\n'.join(
            f'{decided.at_s:.1f} s  ' + ('; '.join(decided.actions) or decided.reason)
            for decided in track.decisions) or 'none' for track in tracks]),
    )
    for name, values in rows:
        table.add_row(name, *values)
    return table
