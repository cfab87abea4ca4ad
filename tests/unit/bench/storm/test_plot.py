# SPDX-License-Identifier: Apache-2.0
"""The chart is drawn, whatever came of the guests."""

from __future__ import annotations

import pathlib
import tempfile

import testtools

from tests.unit.bench.storm import cases

try:
    import matplotlib  # noqa: F401
except ImportError:
    plot = None
else:
    from bench.storm import plot


class TestPlot(testtools.TestCase):

    def test_a_page(self):
        if plot is None:
            self.skipTest('matplotlib is not installed')
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = pathlib.Path(folder.name) / 'storm.png'
        plot.draw([cases.storm(cases.move('a'), cases.lost()),
                   cases.storm(cases.lost(flowed_s=None, ended_s=None, settled_s=None))], path)
        self.assertEqual(b'\x89PNG', path.read_bytes()[:4])
