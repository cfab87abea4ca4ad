# SPDX-License-Identifier: Apache-2.0
"""Workload files and drawn ones, and what is said of those that cannot be used."""

import pathlib

import testtools
import yaml

from bench.contest import generate
from bench.contest import on_lab
from bench.contest import workloads

GOOD = {'name': 'one', 'memory_mib': 1024, 'pattern': 'sweep', 'writable_set_mib': 100,
        'dirty_mib_s': 50, 'link_mib_s': 500, 'bandwidth_mib_s': 100,
        'policy': {'profile': 'post_copy', 'max_downtime_ms': 200}}


class TestRead(testtools.TestCase):

    def refused(self, document, *words):
        error = self.assertRaises(workloads.BadWorkload, workloads.parse, document, 'f.yaml')
        for word in ('f.yaml', *words):
            self.assertIn(word, str(error))

    def test_a_workload(self):
        [one] = workloads.parse([GOOD], 'f.yaml', seed=3)
        self.assertEqual((100, 1024, None), (one.task.policy.bandwidth_mib_s,
                                             one.task.memory_mib, one.task.link_mib_s))
        self.assertEqual((200, True), (one.task.policy.max_downtime_ms,
                                       one.task.policy.may_post_copy))
        self.assertEqual(100, one.load.writable_set_mib)

    def test_a_link_that_is_known_is_taken_low(self):
        [one] = workloads.parse([{**GOOD, 'link_known': True}], 'f.yaml')
        self.assertEqual(475, one.task.link_mib_s)

    def test_a_profile_by_its_name(self):
        [one] = workloads.parse([{**GOOD, 'policy': 'evacuate'}], 'f.yaml')
        self.assertEqual('evacuate', one.task.policy.profile)

    def test_bad_ones_name_entry_field_and_reason(self):
        self.refused({}, 'not of type')
        self.refused([{**GOOD, 'memory_mib': '1 GiB'}], 'workload 0 (one)', 'memory_mib')
        self.refused([{**GOOD, 'memory': 5}], 'memory')
        self.refused([GOOD, {**GOOD, 'name': 'two', 'link_mib_s': 0}], 'workload 1 (two)',
                     'link_mib_s')
        self.refused([GOOD, GOOD], 'name', 'twice')
        self.refused([{**GOOD, 'hot_mib': 5}], 'hot_mib', 'belongs to hot_cold')
        self.refused([{**GOOD, 'pattern': 'bursts'}], 'on_seconds', 'is missing')
        self.refused([{**GOOD, 'writable_set_mib': 2000}], 'writable_set_mib', 'memory_mib')
        self.refused([{**GOOD, 'zero_mib': 1000}], 'zero_mib')
        self.refused([{**GOOD, 'policy': 'swift'}], 'policy.profile', 'balanced')
        self.refused([{**GOOD, 'policy': {'max_downtime_ms': 'soon'}}], 'max_downtime_ms')
        self.refused([{**GOOD, 'name': '../etc'}], 'name')

    def test_files(self):
        for path in ('/nowhere.yaml', '/'):
            error = self.assertRaises(workloads.BadWorkload, workloads.read, path)
            self.assertIn(path, str(error))

    def test_the_suites(self):
        quick = workloads.read('quick')
        self.assertEqual(12, len(quick))
        for one in quick:
            on_lab.guest_for(one.given)
        full = workloads.read('full', seed=7)
        self.assertEqual(1000, len(full))
        sizes = [one.task.memory_mib / 1024 for one in full]
        self.assertTrue(min(sizes) >= 1 and max(sizes) <= 512)
        self.assertEqual(set(workloads.PATTERNS), {one.pattern for one in full})


class TestDraw(testtools.TestCase):

    def setUp(self):
        super().setUp()
        path = pathlib.Path(workloads.SUITES) / 'full.yaml'
        self.spec = {**yaml.safe_load(path.read_text())['generate'], 'count': 20}

    def test_the_same_for_the_same_seed(self):
        self.assertEqual(generate.draw(self.spec, 1), generate.draw(self.spec, 1))
        self.assertNotEqual(generate.draw(self.spec, 1), generate.draw(self.spec, 2))

    def refused(self, change, *words):
        error = self.assertRaises(
            generate.BadDistribution, generate.draw, {**self.spec, **change}, 1)
        for word in words:
            self.assertIn(word, str(error))

    def test_bad_ones_name_the_field(self):
        self.refused({'count': 0}, 'count')
        self.refused({'size': 1}, 'size')
        self.refused({'skew': {'gauss': [1, 2]}}, 'skew', 'gauss')
        self.refused({'skew': {'uniform': [1]}}, 'skew')
        self.refused({'memory_mib': {'lognormal': {'median': 5, 'sigma': 1, 'low': 10,
                                                   'high': 20}}}, 'memory_mib', 'median')
        del self.spec['qemu']
        self.refused({}, 'qemu', 'missing')
