# SPDX-License-Identifier: Apache-2.0
"""Draws the pictures of the documentation from the tables below, as SVG.

``python doc/pictures.py`` writes them into ``doc/source/images``; a unit test compares them with
what is committed, and sees that every module that a picture names exists. Processes are columns, a
room is a box, and the stops of a trip are numbered. No line crosses a text: where a stop's own row
is taken in the next column, the trip goes on one row below.
"""

from __future__ import annotations

from collections import abc
import dataclasses
from html import escape
import itertools
import pathlib
import textwrap

IMAGES = pathlib.Path(__file__).resolve().parent / 'source/images'

LAPTOP = 'laptop'
API = 'nova-api'
COMPUTE = 'nova-compute, source host'
QEMU = 'libvirt, QEMU'


@dataclasses.dataclass(frozen=True)
class Stop:
    """A place that a trip comes to.

    :ivar column: the process
    :ivar place: a module or a room of the package by its path; else a name in words
    """

    column: str
    place: str
    text: str
    is_ours: bool = True

    @property
    def room(self) -> str:
        """The room of the package; empty for what is not ours."""
        if not self.is_ours:
            return ''
        return self.place.split('/')[0] if '/' in self.place else 'nova_migpolicy'


@dataclasses.dataclass(frozen=True)
class Picture:
    """A trip, and how wide each process is drawn, in pixels, from left to right."""

    title: str
    columns: abc.Mapping[str, int]
    stops: tuple[Stop, ...]


def _other(column: str, place: str, text: str) -> Stop:
    return Stop(column, place, text, is_ours=False)


PICTURES = {
    'data_flow': Picture(
        'The data flow of one live migration',
        {LAPTOP: 152, API: 150, COMPUTE: 292, QEMU: 138},
        (
            Stop(LAPTOP, 'osc/', 'commands to start, watch, retune and cancel'),
            Stop(API, 'api/', "a filter in Nova's API: checks rights and form"),
            Stop(API, 'channel/', 'asks the source host by RPC'),
            Stop(COMPUTE, 'compute/', 'takes the migration over from Nova; reads its flavor, '
                                      'image, request and nova.conf'),
            Stop(COMPUTE, 'policy/', 'merges them into one policy'),
            Stop(COMPUTE, 'compute/', 'calls libvirt to migrate, with the flags and parameters '
                                      'of that policy'),
            _other(QEMU, 'pre-copy', 'sends the memory, pass after pass'),
            Stop(COMPUTE, 'monitor/', 'wakes at each event of libvirt, and makes a sample of the '
                                      'statistics'),
            Stop(COMPUTE, 'engine/', 'forecasts when it ends and at which blackout, and decides '
                                     'what to do'),
            Stop(COMPUTE, 'monitor/', 'carries the decision out'),
            _other(QEMU, 'settings', 'bandwidth, downtime, throttle, post-copy, pause, abort'),
            Stop(COMPUTE, 'monitor/', 'keeps it in the journal and the log, with the reason and '
                                      'its figures; publishes the status'),
            Stop(API, 'api/', 'policy, progress and timeline'),
            Stop(LAPTOP, 'osc/', 'shows them'),
        )),
    'sample': Picture(
        "A sample: from libvirt's event to the answer of the API",
        {LAPTOP: 112, API: 162, COMPUTE: 316, QEMU: 142},
        (
            _other(QEMU, 'event', 'a pass begins'),
            Stop(COMPUTE, 'monitor/events', 'is called by libvirt'),
            Stop(COMPUTE, 'monitor/inbox', "keeps it, wakes the monitor's thread"),
            Stop(COMPUTE, 'monitor/loop', 'takes it out'),
            Stop(COMPUTE, 'monitor/guest', "asks for the job's statistics"),
            _other(QEMU, 'job statistics', 'bytes, rates, passes'),
            Stop(COMPUTE, 'monitor/sampling', 'makes one sample of them'),
            Stop(COMPUTE, 'monitor/executor', 'asks the engine, survives its errors'),
            Stop(COMPUTE, 'engine/controller', 'asks the rules in the order of RULES'),
            Stop(COMPUTE, 'engine/estimation/observer', 'makes one frozen observation of all that '
                                                        'is known'),
            Stop(COMPUTE, 'engine/steering', '(state, observation): the first rule that decides '
                                             'something wins'),
            Stop(COMPUTE, 'monitor/executor', 'does the decision action by action'),
            Stop(COMPUTE, 'monitor/guest', 'calls libvirt'),
            _other(QEMU, 'new settings', 'or an end'),
            Stop(COMPUTE, 'monitor/journal', 'keeps the sample, the decision and the result of '
                                             'each action'),
            Stop(COMPUTE, 'monitor/status', 'publishes the status'),
            Stop(COMPUTE, 'compute/service', 'gives it to the caller'),
            Stop(COMPUTE, 'channel/server', 'answers by RPC'),
            Stop(API, 'channel/client', 'passes it on'),
            Stop(API, 'api/handlers/show', 'answers by HTTP'),
            Stop(LAPTOP, 'osc/show', 'prints it'),
        )),
    'key': Picture(
        'A policy key: from the flavor to a decision',
        {LAPTOP: 158, API: 160, COMPUTE: 294, QEMU: 120},
        (
            _other(LAPTOP, 'flavor set', 'puts the key into a flavor'),
            Stop(API, 'api/extra_specs', 'refuses a wrong value'),
            Stop(API, 'policy/keys', 'declares the key, its type and range'),
            Stop(COMPUTE, 'compute/driver', 'Nova hands the migration over'),
            Stop(COMPUTE, 'compute/policies', 'reads the flavor and the image'),
            Stop(COMPUTE, 'compute/request_policies', 'has the policy of this one request'),
            Stop(COMPUTE, 'site_settings', 'has nova.conf and the profiles'),
            Stop(COMPUTE, 'policy/resolve', 'merges them, with the origin of each'),
            Stop(COMPUTE, 'policy/clamp', 'holds an image to its limits'),
            Stop(COMPUTE, 'compute/fits', 'leaves out what the hosts cannot do'),
            Stop(COMPUTE, 'compute/migrate_call', 'makes flags and parameters of it'),
            _other(QEMU, 'migrate', 'starts with them'),
            Stop(COMPUTE, 'engine/state', 'holds the policy in force'),
            Stop(COMPUTE, 'engine/steering/planner', 'searches what the policy permits, for the '
                                                     'least harmful plan'),
            Stop(COMPUTE, 'monitor/journal', 'keeps policy, origins and decisions'),
        )),
    'retune': Picture(
        'A retune: from the command to the guest and back',
        {LAPTOP: 142, API: 162, COMPUTE: 296, QEMU: 132},
        (
            Stop(LAPTOP, 'osc/change', 'options made from policy/keys'),
            Stop(LAPTOP, 'osc/http', 'PUT …/tuning'),
            Stop(API, 'api/routes', 'finds the handler'),
            Stop(API, 'api/handlers/change', 'handles it'),
            Stop(API, 'api/rbac', 'may the caller?'),
            Stop(API, 'api/schemas', 'is the body valid?'),
            Stop(API, 'channel/client', 'calls "tune" on the source host'),
            Stop(COMPUTE, 'channel/server', 'checks it by channel/protocol'),
            Stop(COMPUTE, 'compute/service', 'finds the migration'),
            Stop(COMPUTE, 'compute/migration', 'puts it into the inbox, waits up to 1 s'),
            Stop(COMPUTE, 'monitor/inbox', "wakes the monitor's thread"),
            Stop(COMPUTE, 'monitor/loop', 'takes it out'),
            Stop(COMPUTE, 'monitor/commands', 'carries out what was asked'),
            Stop(COMPUTE, 'monitor/retune', 'resolves the policy again'),
            Stop(COMPUTE, 'engine/controller', 'is asked, by way of monitor/executor'),
            Stop(COMPUTE, 'engine/steering/retune', 'decides what to set, or refuses'),
            Stop(COMPUTE, 'monitor/executor', 'does it, action by action'),
            Stop(COMPUTE, 'monitor/guest', 'calls libvirt'),
            _other(QEMU, 'new settings', 'in force'),
            Stop(COMPUTE, 'monitor/commands', 'writes the journal and the answer'),
            Stop(COMPUTE, 'channel/server', 'answers by RPC'),
            Stop(API, 'api/handlers/change', 'answers by HTTP'),
            Stop(LAPTOP, 'osc/change', 'prints what is in force'),
        )),
}

WIDTH = 800
MARGIN = 16
GAP = 12
TOP = 78            # the first row begins here
LINE = 14           # from one line of text to the next
ROW_GAP = 15        # between rows, with room for an arrow
PAD = 6
BADGE = 9           # the radius of a number's circle
PLACE_AT = 2 * BADGE + 2 * PAD      # where text begins in a stop
CHAR = 6.5          # the width of a letter, in the widest of the fonts that browsers take
MONO_CHAR = 6.8
SANS = 'font-family="Helvetica, Arial, \'DejaVu Sans\', sans-serif"'
MONO = 'font-family="\'DejaVu Sans Mono\', Menlo, Consolas, monospace"'

INK, GREY, LINE_INK = '#1b2733', '#5b6875', '#3b6ea5'
CARD, LANE, BOX, ROOM_EDGE, OTHER = '#ffffff', '#f2f5f8', '#ffffff', '#9fb6cc', '#fdf4e3'

HEAD = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:g}" width="{width}" \
height="{height:g}" role="img">
<title>{title}</title>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" \
orient="auto"><path d="M 0 0 L 8 4 L 0 8 z" fill="{ink}"/></marker></defs>"""


@dataclasses.dataclass(frozen=True)
class Placed:
    """A stop with its place in the picture."""

    number: int
    stop: Stop
    row: int
    left: float
    width: float
    lines: tuple[str, ...]
    names: tuple[str, ...]

    @property
    def height(self) -> float:
        """How high it is, in pixels."""
        return 2 * PAD + LINE * (len(self.names) + len(self.lines)) - 2

    @property
    def badge_x(self) -> float:
        """Where the middle of its number is."""
        return self.left + PAD + BADGE


def lefts(picture: Picture) -> dict[str, float]:
    """Return where each column begins."""
    found, at = {}, float(MARGIN)
    for column, width in picture.columns.items():
        found[column] = at
        at += width + GAP
    return found


def rows(picture: Picture) -> list[int]:
    """Return the row of each stop: the last one's where that is free up to its column."""
    order = list(picture.columns)
    taken: set[tuple[int, int]] = set()
    found: list[int] = []
    row, last = 0, -1
    for number, stop in enumerate(picture.stops):
        column = order.index(stop.column)
        if number:
            between = range(min(column, last), max(column, last) + 1)
            beside = column != last and not any(
                (row, one) in taken for one in between if one != last)
            if not beside:
                row += 1
                if column != last:      # the line goes down in the column that it leaves
                    taken.update((row, one) for one in between)
        taken.add((row, column))
        found.append(row)
        last = column
    return found


def name_lines(place: str, width: float) -> tuple[str, ...]:
    """Return the name of a place, cut behind a slash where it is too long for one line."""
    room = int(width / MONO_CHAR)
    if len(place) <= room or '/' not in place.rstrip('/'):
        return (place,)
    head, _, tail = place.rpartition('/')
    return (f'{head}/', tail)


def placed(picture: Picture) -> list[Placed]:
    """Return the stops with their rows and texts."""
    begin = lefts(picture)
    found = []
    for number, (stop, row) in enumerate(zip(picture.stops, rows(picture), strict=True), 1):
        left, width = begin[stop.column] + PAD, picture.columns[stop.column] - 2 * PAD
        room = width - PLACE_AT - 4
        lines = tuple(textwrap.wrap(stop.text, int(room / CHAR), break_long_words=False))
        found.append(Placed(number, stop, row, left, width, lines,
                            name_lines(stop.place, room)))
    return found


def tops(stops: abc.Sequence[Placed]) -> dict[int, float]:
    """Return where each row begins."""
    found, at = {}, float(TOP)
    for row in range(stops[-1].row + 1):
        found[row] = at
        at += max(one.height for one in stops if one.row == row) + ROW_GAP
    found[stops[-1].row + 1] = at
    return found


def text(x: float, y: float, words: str, *, size: int = 12, fill: str = INK, font: str = SANS,
         anchor: str = 'start', bold: bool = False) -> str:
    """Return one line of text."""
    weight = ' font-weight="bold"' if bold else ''
    return (f'<text x="{x:g}" y="{y:g}" {font} font-size="{size}" fill="{fill}" '
            f'text-anchor="{anchor}"{weight}>{escape(words)}</text>')


def box(x: float, y: float, width: float, height: float, fill: str, edge: str = 'none',
        more: str = '') -> str:
    """Return a box with round corners."""
    return (f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="6" '
            f'fill="{fill}" stroke="{edge}"{more}/>')


def arrow(points: abc.Sequence[tuple[float, float]]) -> str:
    """Return a line with a head at its end."""
    path = ' L '.join(f'{x:g} {y:g}' for x, y in points)
    return (f'<path d="M {path}" fill="none" stroke="{LINE_INK}" stroke-width="1.6" '
            'marker-end="url(#head)"/>')


def way(one: Placed, other: Placed,
        top: abc.Mapping[int, float]) -> list[tuple[float, float]]:
    """Return the points of the line from a stop to the next."""
    if one.left == other.left:
        return [(one.badge_x, top[one.row] + one.height), (one.badge_x, top[other.row] - 1)]
    rightward = other.left > one.left
    end = other.left - 1 if rightward else other.left + other.width + 1
    y = top[other.row] + PAD + BADGE
    if one.row == other.row:
        return [(one.left + one.width if rightward else one.left, y), (end, y)]
    return [(one.badge_x, top[one.row] + one.height), (one.badge_x, y), (end, y)]


def drawn_stop(one: Placed, top: float) -> abc.Iterator[str]:
    """Give the box of a stop, with its number and its words."""
    yield box(one.left, top, one.width, one.height, BOX if one.stop.is_ours else OTHER,
              ROOM_EDGE)
    middle = top + PAD + BADGE
    yield f'<circle cx="{one.badge_x:g}" cy="{middle:g}" r="{BADGE}" fill="{LINE_INK}"/>'
    yield text(one.badge_x, middle + 4, str(one.number), size=11, fill='#ffffff',
               anchor='middle', bold=True)
    x, y = one.left + PLACE_AT, top + PAD + 11
    for name in one.names:
        yield text(x, y, name, size=11, font=MONO if one.stop.is_ours else SANS, bold=True)
        y += LINE
    for line in one.lines:
        yield text(x, y, line, fill=GREY)
        y += LINE


def grouped(stops: abc.Sequence[Placed]) -> list[list[Placed]]:
    """Return the stops that follow each other in one room of one process, together."""
    found: list[list[Placed]] = []
    for one in stops:
        last = found[-1][-1].stop if found else None
        if last and (last.column, last.room) == (one.stop.column, one.stop.room) and last.room:
            found[-1].append(one)
        else:
            found.append([one])
    return found


def drawn_room(stops: abc.Sequence[Placed], top: abc.Mapping[int, float]) -> str:
    """Return the box around the stops in a room."""
    first, last = stops[0], stops[-1]
    y = top[first.row] - 4
    return box(first.left - 4, y, first.width + 8, top[last.row] + last.height + 4 - y,
               '#dfe9f3', ROOM_EDGE)


def svg(picture: Picture) -> str:
    """Return a picture."""
    stops = placed(picture)
    top = tops(stops)
    height = top[stops[-1].row + 1] + MARGIN - ROW_GAP + 6
    begin = lefts(picture)
    lines = [
        HEAD.format(width=WIDTH, height=height, title=escape(picture.title), ink=LINE_INK),
        box(1, 1, WIDTH - 2, height - 2, CARD, '#c9d3dd'),
        text(MARGIN, 28, picture.title, size=15, bold=True),
    ]
    for column, width in picture.columns.items():
        lines.append(box(begin[column], 42, width, height - 42 - MARGIN / 2, LANE))
        lines.append(text(begin[column] + width / 2, 60, column, size=13, bold=True,
                          anchor='middle'))
    lines.extend(drawn_room(group, top) for group in grouped(stops) if group[0].stop.room)
    for one in stops:
        lines.extend(drawn_stop(one, top[one.row]))
    lines.extend(arrow(way(one, other, top)) for one, other in itertools.pairwise(stops))
    return '\n'.join([*lines, '</svg>', ''])


def main() -> None:
    """Write all pictures."""
    IMAGES.mkdir(exist_ok=True)
    for name, picture in PICTURES.items():
        (IMAGES / f'{name}.svg').write_text(svg(picture), encoding='utf-8')


if __name__ == '__main__':
    main()
