# SPDX-License-Identifier: Apache-2.0
"""Samples from job statistics."""

import testtools

from nova_migpolicy.engine import samples


class TestSample(testtools.TestCase):

    def test_from_statistics(self):
        got = samples.Sample.from_stats(3.5, {
            'memory_total': 1000, 'memory_processed': 300, 'memory_remaining': 700,
            'memory_bps': 50, 'memory_dirty_rate': 10, 'memory_page_size': 4096,
            'memory_normal': 2, 'memory_constant': 3, 'memory_iteration': 7,
            'disk_total': 5, 'disk_processed': 4, 'disk_remaining': 1, 'downtime': 300,
            'auto_converge_throttle': 20, 'type': 2}, boundary=True)
        self.assertEqual(samples.Sample(
            at_s=3.5, boundary=True, iteration=7, memory_total_bytes=1000,
            memory_processed_bytes=300, memory_remaining_bytes=700, memory_rate_bytes_s=50,
            dirty_pages_s=10, page_size_bytes=4096, disk_total_bytes=5, disk_processed_bytes=4,
            disk_remaining_bytes=1, expected_downtime_ms=300, throttle_percent=20,
            memory_sent_bytes=5 * 4096), got)
        self.assertEqual(40960, got.dirty_bytes_s)

    def test_the_event_knows_the_iteration_best(self):
        got = samples.Sample.from_stats(1, {'memory_iteration': 3}, iteration=4)
        self.assertEqual(4, got.iteration)

    def test_compressed_pages_are_sent_pages(self):
        got = samples.Sample.from_stats(1, {
            'memory_normal': 1, 'memory_constant': 1, 'compression_pages': 2})
        self.assertEqual((4 * 4096, True), (got.memory_sent_bytes, got.xbzrle))

    def test_garbage_is_none(self):
        for value in (-1, 'x', None, True, float('nan'), float('inf'), [], b'1'):
            got = samples.Sample.from_stats(1, {'memory_total': value, 'memory_normal': value})
            self.assertEqual((None, None), (got.memory_total_bytes, got.memory_sent_bytes),
                             value)
        self.assertIsNone(samples.Sample.from_stats(1, {}).dirty_bytes_s)

    def test_what_cannot_be_is_none(self):
        for stats, missing in (
                ({'memory_total': 0, 'memory_remaining': 5}, 'memory_total memory_remaining'),
                ({'memory_remaining': 5}, 'memory_remaining'),
                ({'memory_total': 100, 'memory_remaining': 111}, 'memory_remaining'),
                ({'memory_total': 100, 'memory_remaining': 2 ** 64 - 4096}, 'memory_remaining'),
                ({'memory_total': 2 ** 64 - 1, 'memory_remaining': 5},
                 'memory_total memory_remaining'),
                ({'disk_total': 100, 'disk_remaining': 111}, 'disk_remaining'),
                ({'disk_total': 100, 'disk_processed': 2 ** 64 - 100}, 'disk_processed'),
                ({'disk_total': 0, 'disk_remaining': 1}, 'disk_remaining'),
                ({'memory_processed': 2 ** 63, 'memory_bps': 2 ** 64 - 1},
                 'memory_processed memory_rate'),
                ({'memory_dirty_rate': 2 ** 64 - 1}, 'dirty_pages_s'),
                ({'auto_converge_throttle': 101}, 'throttle_percent')):
            got = samples.Sample.from_stats(1, stats)
            for name in missing.split():
                values = [value for field, value in vars(got).items() if field.startswith(name)]
                self.assertEqual({None}, set(values), (stats, name))

    def test_what_can_be_is_kept(self):
        got = samples.Sample.from_stats(1, {
            'memory_total': 100, 'memory_remaining': 110, 'disk_total': 0, 'disk_remaining': 0,
            'disk_processed': 0, 'auto_converge_throttle': 0})
        self.assertEqual((100, 110, 0, 0, 0, 0), (
            got.memory_total_bytes, got.memory_remaining_bytes, got.disk_total_bytes,
            got.disk_remaining_bytes, got.disk_processed_bytes, got.throttle_percent))

    def test_the_journal_gets_what_was_seen(self):
        got = samples.Sample.from_stats(1.0, {'memory_total': 5}).to_dict()
        self.assertEqual({'at_s': 1.0, 'took_s': 0.0, 'moved_s': 0.0, 'moved_bytes': 0,
                          'boundary': False, 'post_copy': False, 'memory_total_bytes': 5}, got)

    def test_phases_are_words(self):
        self.assertEqual(['preparing', 'disks', 'bulk copy', 'passes', 'post-copy'],
                         [phase.value for phase in samples.Phase])
