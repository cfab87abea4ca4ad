# SPDX-License-Identifier: Apache-2.0
"""The report of the measurements: which section a file becomes."""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile

import testtools

from bench.faults import plan
from bench.faults import play
from bench import report
from lab import needs
from tests.unit.bench.storm import cases


class TestReport(testtools.TestCase):

    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def written(self, found):
        path = self.folder / 'found.json'
        path.write_text(json.dumps(found))
        report.measure(self.folder, argparse.Namespace(
            files=[path], out=self.folder / 'REPORT.md'), lambda line: None)
        return (self.folder / 'REPORT.md').read_text()

    def test_faults(self):
        one = play.Result(
            driver='stock', plan=plan.plan(3, 4).to_dict(), verdict='two copies', what='it has '
            'beaten on both hosts in turn', agreed_s=None, seconds=50.0, in_phase=True)
        told = self.written({'faults': [one.to_dict()], 'seed': 3, 'nova': '34', 'n': 1})
        self.assertIn('## Faults in the middle of migrations\n\n```\n', told)
        self.assertIn('stock: 1 faults of seed 3 on Nova 34: 1 violations (1 two copies)', told)
        self.assertIn('stock, seed 3 number 4: ', told)

    def test_storm(self):
        storm = cases.storm(cases.move(), cases.lost())
        found = {'storm': [storm.to_dict()], 'failed': {}, 'nova': '34', 'guests': 2,
                 'link_mib_s': 50.0, 'timeout_s': 300.0, 'ideal_s': 2.0, 'png': 'storm.png'}
        told = self.written(found)
        self.assertIn('## Storm on real QEMU\n\n```\n2 guests from n1 and n2 to n3', told)
        self.assertIn('![Storm on real QEMU](plots/storm.png)', told)
        self.assertNotIn('plots', self.written({**found, 'png': ''}))

    def test_a_file_of_something_else(self):
        found = self.assertRaises(needs.LabError, self.written, {'stories': []})
        self.assertIn('found.json: it is no result of', str(found))
