# SPDX-License-Identifier: Apache-2.0
"""What is written into Nova's database while a migration runs, and how often."""

from unittest import mock

from nova_migpolicy.compute import report
from nova_migpolicy.engine import sample
from tests.contract import base


class TestReporter(base.ContractCase):

    def setUp(self):
        super().setUp()
        self.now_s = 100.0
        self.server, self.migration = mock.Mock(), mock.Mock()
        self.reporter = report.Reporter(
            self.server, self.migration, lambda: False, 5.0, lambda: self.now_s)
        self.sample = sample.Sample.from_stats(0.0, {
            'memory_total': 100, 'memory_processed': 70, 'memory_remaining': 30,
            'disk_total': 1000, 'disk_processed': 900, 'disk_remaining': 100})

    def report_for(self, seconds, percent=10):
        for _ in range(int(seconds * 2)):
            self.reporter.report(self.sample, percent)
            self.now_s += 0.5

    def test_no_more_often_than_the_interval(self):
        self.report_for(10)
        self.assertEqual(2, self.migration.save.call_count)
        self.assertEqual(2, self.server.save.call_count)

    def test_memory_disks_and_percentage(self):
        self.report_for(0.5, 42)
        self.assertEqual((100, 70, 30, 1000, 900, 100, 42), (
            self.migration.memory_total, self.migration.memory_processed,
            self.migration.memory_remaining, self.migration.disk_total,
            self.migration.disk_processed, self.migration.disk_remaining,
            self.server.progress))

    def test_a_database_that_fails_is_survived(self):
        self.migration.save.side_effect = RuntimeError('no database')
        self.report_for(10)
        self.assertEqual(1, self.migration.save.call_count)
        self.migration.save.side_effect = None
        self.report_for(report.AFTER_FAILURE_S)
        self.server.save.assert_called()

    def test_a_post_copy_that_was_not_written_is_written_later(self):
        self.migration.save.side_effect = RuntimeError('no database')
        self.reporter.post_copy_started()
        self.migration.save.side_effect = None
        self.report_for(0.5)
        self.assertEqual(report.POST_COPY_STATUS, self.migration.status)
        self.assertFalse(self.reporter._owes_post_copy)
