# SPDX-License-Identifier: Apache-2.0
"""Writes the page of decisions and its picture, from the engine's rules and its table of orders.

``python tools/decisions.py`` renews both; a test sees that they are up to date.
"""

from __future__ import annotations

from collections import abc
import html
import inspect
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nova_migpolicy.engine import controller    # noqa: E402
from nova_migpolicy.engine import samples       # noqa: E402
from nova_migpolicy.engine.steering import orders   # noqa: E402
from nova_migpolicy import vocabulary as words  # noqa: E402

PAGE = ROOT / 'doc/source/decisions.rst'
PICTURE = ROOT / 'doc/source/images/phases.svg'
HEAD = """\
=========
Decisions
=========

.. This page and its picture are made by tools/decisions.py.

What is decided of a migration, in which order, and what may be ordered in which phase.

.. image:: images/phases.svg
   :alt: the phases of a migration, and which order is taken in which of them
   :width: 100%

Rules
=====

At each sample of a running migration these rules are asked, from top to bottom. The first that
decides something is followed, and the others have to wait for the next sample. While the answer to
an action is still to come, none is asked. The labels in a timeline are in :doc:`admin`.

"""
ORDERS = """
Orders and retunes
==================

An order of an operator, or of a user who may give it, beats the rules. An order that cannot be
carried out is refused with a sentence that names the phase and what to do next. Beside this table,
post-copy and a throttle are refused where they were not made ready before the start, and what
needs the link where nothing moves over it.

"""
PHASES = (*orders.ON_ITS_WAY, *orders.ENDED)
#: of each order, what it leads to
LEADS_TO = {
    words.CANCEL: words.ABORTING, words.PAUSE: words.PAUSED,
    words.START_POST_COPY: words.POST_COPY,
    words.FORCE_COMPLETE: f'{words.POST_COPY} or {words.PAUSED}',
    orders.RETUNE: 'other settings', orders.RETUNE_BANDWIDTH: 'another bandwidth'}
SAYS = {'later': 'later: {}', 'never': 'refused: {}', 'now': 'done, unless {}'}


def first_line(thing: object) -> str:
    """Return the first line of a docstring, without the full stop.

    :raises ValueError: there is none
    """
    text = inspect.getdoc(thing)
    if not text:
        raise ValueError(f'{thing} has no docstring')
    return text.splitlines()[0].rstrip('.')


def _rules() -> abc.Iterator[str]:
    yield from ('.. list-table::', '   :header-rows: 1', '   :widths: 5 45 30 20', '',
                '   * - no.', '     - rule', '     - asked', '     - in the phases')
    for number, rule in enumerate(controller.RULES, 1):
        phases = 'all' if rule.phases == frozenset(samples.Phase) else ', '.join(
            phase.value for phase in samples.Phase if phase in rule.phases)
        asked = first_line(rule.when)
        yield from (f'   * - {number}', f'     - {first_line(rule.decide)}',
                    f'     - {asked[0].lower()}{asked[1:]}', f'     - {phases}')


def _orders() -> abc.Iterator[str]:
    for order, by_phase in orders.TABLE.items():
        title = f'``{order}``: {LEADS_TO[order]}'
        yield from (title, '-' * len(title), '', '.. list-table::', '   :widths: 15 85', '')
        for phase in PHASES:
            ruling = by_phase[phase]
            what = SAYS[ruling.done].format(ruling.why) if ruling.why else 'done'
            yield from (f'   * - {phase}', f'     - {what}')
        yield ''


def page() -> str:
    """Return the whole page."""
    return '\n'.join([HEAD + '\n'.join(_rules()), ORDERS + '\n'.join(_orders())])


# The picture: a column for each phase, a line for each order with a mark where it is taken.
LEFT, COLUMN, TOP, LINE = 216, 104, 92, 46
BOX, HIGH = 92, 40
RIGHT = LEFT + COLUMN * len(PHASES)
MARKS = {'now': 'black', 'later': 'white'}


def _text(x: float, y: float, text: str, anchor: str = 'middle', size: int = 14) -> str:
    return (f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}">'
            f'{html.escape(text)}</text>')


def _boxes() -> abc.Iterator[str]:
    for number, phase in enumerate(PHASES):
        x = LEFT + number * COLUMN
        fill = '#dbe9f6' if phase in orders.ON_ITS_WAY else '#f6e3cd'
        yield (f'<rect x="{x}" y="24" width="{BOX}" height="{HIGH}" rx="6" fill="{fill}" '
               'stroke="black"/>')
        yield _text(x + BOX / 2, 24 + HIGH / 2 + 5, phase)
        if phase in orders.ON_ITS_WAY[1:]:
            yield (f'<path d="M{x - COLUMN + BOX} {24 + HIGH / 2:g} H{x - 3}" stroke="black" '
                   'marker-end="url(#tip)"/>')


def _lines() -> abc.Iterator[str]:
    for number, (order, by_phase) in enumerate(orders.TABLE.items()):
        y = TOP + 22 + number * LINE
        yield _text(12, y + 5, order, 'start')
        yield f'<path d="M{LEFT - 8} {y} H{RIGHT + 6}" stroke="#999" marker-end="url(#tip)"/>'
        yield _text(RIGHT + 14, y + 5, LEADS_TO[order], 'start')
        for column, phase in enumerate(PHASES):
            fill = MARKS.get(by_phase[phase].done)
            x = LEFT + column * COLUMN + BOX / 2
            if fill is not None:
                yield (f'<circle cx="{x:g}" cy="{y}" r="7" fill="{fill}" stroke="black" '
                       'stroke-width="2"/>')


def picture() -> str:
    """Return the picture as SVG."""
    below = TOP + 22 + len(orders.TABLE) * LINE
    wide, high = RIGHT + 170, below + 24
    legend = [
        f'<circle cx="{LEFT}" cy="{below}" r="7" fill="black"/>',
        _text(LEFT + 14, below + 5, 'done at once', 'start'),
        (f'<circle cx="{LEFT + 150}" cy="{below}" r="7" fill="white" stroke="black" '
         'stroke-width="2"/>'),
        _text(LEFT + 164, below + 5, 'done when the memory is being sent, or has been once',
              'start'),
        _text(LEFT + 580, below + 5, 'no mark: refused', 'start')]
    return '\n'.join([
        (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
         'font-family="sans-serif">'),
        ('<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
         'markerHeight="8" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'),
        f'<rect width="{wide}" height="{high}" fill="white"/>',
        *_boxes(), *_lines(), *legend, '</svg>']) + '\n'


if __name__ == '__main__':
    PAGE.write_text(page(), encoding='utf-8')
    PICTURE.write_text(picture(), encoding='utf-8')
