# SPDX-License-Identifier: Apache-2.0
"""The journal's file: readable, bounded, removed by age, and never a reason to fail."""

from __future__ import annotations

import os
import pathlib
import uuid

import fixtures
import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import journal_reader


class JournalTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = journal_mod.file_for(self.folder, str(uuid.uuid4()))

    def test_what_was_written_is_read(self):
        kept = journal_mod.Journal(self.path, 100.0, 10_000)
        kept.add('start', 100.0, policy={'remedies': ('bandwidth',)})
        kept.add('decision', 103.5, at_s=103.5, reason='because')
        records = list(journal_mod.read(self.path))
        self.assertEqual(['start', 'decision'], [r['kind'] for r in records])
        self.assertEqual([0.0, 3.5], [r['at'] for r in records])
        self.assertEqual('because', records[1]['reason'])
        self.assertNotIn('at_s', records[1])
        self.assertEqual(['bandwidth'], records[0]['policy']['remedies'])

    def test_samples_are_bounded_and_decisions_are_not_lost(self):
        kept = journal_mod.Journal(self.path, 0.0, 4096)
        for n in range(1000):
            kept.add('sample', float(n), memory_remaining_bytes=n)
        kept.add('decision', 1000.0, reason='the last word')
        self.assertLess(self.path.stat().st_size, 4096 + 1024)
        self.assertEqual('the last word', list(journal_mod.read(self.path))[-1]['reason'])

    def test_all_is_bounded_but_the_end(self):
        kept = journal_mod.Journal(self.path, 0.0, 4096)
        for n in range(1000):
            kept.add('decision', float(n), reason='a person cannot do that')
        kept.add('end', 1000.0, outcome='completed')
        self.assertLess(self.path.stat().st_size, 2 * 4096 + 1024)
        self.assertEqual('completed', list(journal_mod.read(self.path))[-1]['outcome'])

    def test_memory_is_bounded(self):
        kept = journal_mod.Journal(None, 0.0, 0)
        for n in range(journal_mod.MEMORY_RECORDS + 10):
            kept.add('sample', float(n))
        self.assertEqual(journal_mod.MEMORY_RECORDS, len(kept.records()))

    def test_a_line_cut_short_is_left_out(self):
        kept = journal_mod.Journal(self.path, 0.0, 10_000)
        kept.add('event', 1.0, text='whole')
        with open(self.path, 'a', encoding='utf-8') as out:
            out.write('{"kind": "sam')
        self.assertEqual(['whole'], [r['text'] for r in journal_mod.read(self.path)])

    def test_a_file_that_cannot_be_written_is_survived(self):
        kept = journal_mod.Journal(self.folder / 'no' / 'such', 0.0, 10_000)
        kept.add('event', 1.0, text='kept in memory')
        self.assertEqual('kept in memory', kept.records()[0]['text'])

    def test_what_json_cannot_hold_is_survived(self):
        kept = journal_mod.Journal(self.path, 0.0, 10_000)
        kept.add('event', 1.0, text='fine')
        kept.add('event', 2.0, circular=_circular())
        self.assertEqual(2, len(kept.records()))

    def test_only_a_uuid_becomes_a_file_name(self):
        for bad in ('../../etc/passwd', '', 'x/y', 'nonsense'):
            self.assertRaises(ValueError, journal_mod.file_for, self.folder, bad)

    def test_old_journals_are_removed_and_other_files_are_not(self):
        day = journal_mod.SECONDS_PER_DAY
        ages = {'old.jsonl': 8, 'new.jsonl': 6, 'old.txt': 8}
        for name, days in ages.items():
            path = self.folder / name
            path.touch()
            os.utime(path, (100 * day - days * day,) * 2)
        self.assertEqual(1, journal_mod.remove_old(self.folder, 7, now_s=100.0 * day))
        self.assertEqual({'new.jsonl', 'old.txt'}, set(os.listdir(self.folder)))

    def earlier(self, *records):
        """A journal whose file an earlier process has begun."""
        before = journal_mod.Journal(self.path, 0.0, 10_000)
        for kind, fields in records:
            before.add(kind, 1.0, **fields)
        return journal_mod.Journal(self.path, 0.0, 10_000)

    def numbers(self, kept):
        """The numbers that the file gives to what is in memory, and those of the memory."""
        page = journal_reader.FileRecords(self.path).page(0, 1000, ())
        in_file = {record['text']: record['number'] for record in page['records']}
        in_memory = {record['text']: number for number, record in kept.numbered()}
        return {text: in_file[text] for text in in_memory}, in_memory

    def test_numbers_go_on_after_a_restart(self):
        kept = self.earlier(('event', {'text': 'a'}), ('event', {'text': 'b'}))
        kept.add('event', 2.0, text='c')
        self.assertEqual(({'c': 3},) * 2, self.numbers(kept))
        # Also where only the memory is left to ask.
        kept.path = self.folder / 'no' / 'such'
        kept.add('event', 3.0, text='d')
        self.assertIsNone(kept.path)
        self.assertEqual([3, 4], [number for number, _ in kept.numbered()])
        page = journal_reader.MemoryRecords(kept).page(3, 10, ())
        self.assertEqual([(4, 'd')], [(one['number'], one['text']) for one in page['records']])

    def test_what_is_left_out_of_the_file_has_no_number(self):
        kept = journal_mod.Journal(self.path, 0.0, 64)
        for n in range(10):
            kept.add('sample', float(n), text=f'sample {n}')
        kept.add('event', 10.0, text='the last word')
        in_file, in_memory = self.numbers(kept)
        self.assertEqual(in_file, in_memory)
        self.assertIn('the last word', in_memory)
        self.assertLess(len(in_memory), 11)
        self.assertEqual(11, len(kept.records()))

    def test_the_bound_is_that_of_the_file_and_not_of_the_process(self):
        for _ in range(3):
            kept = journal_mod.Journal(self.path, 0.0, 4096)
            for n in range(200):
                kept.add('sample', float(n), memory_remaining_bytes=n)
        self.assertLess(self.path.stat().st_size, 4096 + 1024)

    def test_what_comes_after_a_line_cut_short_is_whole(self):
        self.earlier(('event', {'text': 'a'}))
        with open(self.path, 'a', encoding='utf-8') as out:
            out.write('{"kind": "sam')
        kept = journal_mod.Journal(self.path, 0.0, 10_000)
        kept.add('event', 2.0, text='b')
        self.assertEqual(['a', 'b'], [r['text'] for r in journal_mod.read(self.path)])
        # The line that was cut short has a number.
        self.assertEqual(({'b': 3},) * 2, self.numbers(kept))

    def test_whether_an_earlier_process_has_begun_it(self):
        for kept in (journal_mod.Journal(None, 0.0, 10_000), self.earlier()):
            self.assertFalse(kept.has_begun)
        self.assertTrue(self.earlier(('start', {}), ('event', {'text': 'x'})).has_begun)
        self.path.write_bytes(b'')
        self.assertTrue(self.earlier(('event', {'text': 'it waits'}), ('start', {})).has_begun)
        self.path.write_bytes(b'')
        self.assertFalse(self.earlier(('event', {'text': 'it is taken up'})).has_begun)

    def test_the_throttle_that_an_earlier_process_has_set_last(self):
        def throttle(percent, done=True):
            return 'action', {'action': 'set_throttle', 'percent': percent, 'done': done}

        self.assertEqual('set_throttle', remedies.SetThrottle.name)
        self.assertEqual(0, self.earlier(('start', {})).throttle_percent())
        self.assertEqual(40, self.earlier(
            throttle(20), throttle(40), ('action', {'action': 'set_bandwidth', 'done': True}),
            throttle(60, done=False)).throttle_percent())
        self.assertEqual(40, self.earlier(throttle('much'), throttle(None)).throttle_percent())

    def test_the_last_end_counts(self):
        self.assertIsNone(self.earlier(('start', {})).outcome())
        self.assertEqual('completed', self.earlier(
            ('end', {'outcome': 'broken'}), ('event', {'text': 'resumed'}),
            ('end', {'outcome': 'completed'})).outcome())
        kept = journal_mod.Journal(None, 0.0, 10_000)
        kept.add('end', 1.0, outcome='failed')
        self.assertEqual('failed', kept.outcome())

    def test_an_earlier_file_that_cannot_be_read_is_survived(self):
        self.path.mkdir()
        kept = journal_mod.Journal(self.path, 0.0, 10_000)
        self.assertFalse(kept.has_begun)
        self.assertEqual(0, kept.throttle_percent())

    def test_a_folder_that_cannot_be_made_is_survived(self):
        blocker = self.folder / 'file'
        blocker.touch()
        self.assertIsNone(journal_mod.prepare_folder(blocker / 'under'))
        self.assertEqual(0, journal_mod.remove_old(self.folder / 'none', 1))


def _circular():
    ring = []
    ring.append(ring)
    return ring
