# SPDX-License-Identifier: Apache-2.0
"""The committed pictures are what the script draws, and name only what there is."""

from __future__ import annotations

import dataclasses
import itertools
import sys
from xml.etree import ElementTree

import ddt
import testtools

from tests.unit import tools

ROOT = tools.TOOLS.parent
# Named in full, so that a change of either is seen to touch these tests.
SCRIPT = ROOT / 'doc/pictures.py'
IMAGES = ROOT / 'doc/source/images'
sys.path.append(str(SCRIPT.parent))

import pictures    # noqa: E402


def exists(place: str) -> bool:
    """Whether the package has a module or a room of this path."""
    path = ROOT / 'nova_migpolicy' / place
    return path.with_suffix('.py').is_file() or (path / '__init__.py').is_file()


def overlaps(line: tuple[tuple[float, float], tuple[float, float]], one: pictures.Placed,
             top: float) -> bool:
    """Whether a line, which is level or upright, touches the box of a stop."""
    (x1, y1), (x2, y2) = line
    return (min(x1, x2) < one.left + one.width and max(x1, x2) > one.left
            and min(y1, y2) < top + one.height and max(y1, y2) > top)


@ddt.ddt
class TestPictures(testtools.TestCase):

    @ddt.data(*pictures.PICTURES)
    def test_it_is_up_to_date(self, name):
        committed = (IMAGES / f'{name}.svg').read_text(encoding='utf-8')
        self.assertEqual(pictures.svg(pictures.PICTURES[name]), committed,
                         'run python doc/pictures.py')
        ElementTree.fromstring(committed)

    @ddt.data(*pictures.PICTURES)
    def test_each_module_exists(self, name):
        missing = [stop.place for stop in pictures.PICTURES[name].stops
                   if stop.is_ours and not exists(stop.place)]
        self.assertEqual([], missing)

    def test_a_module_that_is_missing_is_seen(self):
        self.assertFalse(exists('monitor/hands'))
        self.assertTrue(exists('engine/steering'))
        self.assertTrue(exists('osc/'))

    @ddt.data(*pictures.PICTURES)
    def test_it_is_as_wide_as_it_says(self, name):
        columns = pictures.PICTURES[name].columns
        width = sum(columns.values()) + pictures.GAP * (len(columns) - 1)
        self.assertEqual(pictures.WIDTH, width + 2 * pictures.MARGIN)

    @ddt.data(*pictures.PICTURES)
    def test_words_stay_in_their_boxes(self, name):
        for one in pictures.placed(pictures.PICTURES[name]):
            room = one.width - pictures.PLACE_AT
            for line in one.lines:
                self.assertLessEqual(len(line) * pictures.CHAR, room, line)
            for line in one.names:
                self.assertLessEqual(len(line) * pictures.MONO_CHAR, room, line)

    def crossed(self, picture):
        stops = pictures.placed(picture)
        top = pictures.tops(stops)
        for one, other in itertools.pairwise(stops):
            points = pictures.way(one, other, top)
            for line in itertools.pairwise(points):
                for third in stops:
                    if third not in (one, other) and overlaps(line, third, top[third.row]):
                        yield one.number, third.number

    @ddt.data(*pictures.PICTURES)
    def test_no_line_crosses_a_stop(self, name):
        self.assertEqual([], list(self.crossed(pictures.PICTURES[name])))

    def test_stops_do_not_lie_on_each_other(self):
        for picture in pictures.PICTURES.values():
            places = [(one.row, one.left) for one in pictures.placed(picture)]
            self.assertEqual(sorted(set(places)), sorted(places))

    def test_a_trip_back_over_a_taken_row(self):
        """Where a stop is in the way, the line goes below it."""
        there = pictures.PICTURES['data_flow']
        columns = list(there.columns)
        stops = [dataclasses.replace(there.stops[0], column=columns[place])
                 for place in (0, 1, 2, 0, 2, 1, 3, 0)]
        picture = dataclasses.replace(there, stops=tuple(stops))
        self.assertEqual([0, 0, 0, 1, 2, 3, 4, 5], pictures.rows(picture))
        self.assertEqual([], list(self.crossed(picture)))
