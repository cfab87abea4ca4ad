# SPDX-License-Identifier: Apache-2.0
"""Journals are read in pages, by their ends, and never as a whole where they are large."""

from __future__ import annotations

import pathlib
from unittest import mock
import uuid

import fixtures
import testtools

from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import journal_reader

SERVER = str(uuid.uuid4())


class FileTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(self.useFixture(fixtures.TempDir()).path)
        self.path = journal_mod.file_for(self.folder, str(uuid.uuid4()))
        self.kept = journal_mod.Journal(self.path, 0.0, 1 << 30)

    def write(self, samples):
        self.kept.add('start', 0.0, server=SERVER, policy={'on_stall': 'abort'})
        self.kept.add('retune', 0.0, policy={'on_stall': 'pause'}, held={'bandwidth_mib_s': 7})
        for number in range(samples):
            self.kept.add('sample', float(number), memory_remaining_bytes=samples - number)
        self.kept.add('decision', 1.0, reason='because', rule='r', actions=[])
        self.kept.add('end', 9.0, outcome='completed', total_seconds=9.0,
                      policy={'on_stall': 'pause'}, held={'bandwidth_mib_s': 7})
        return self.records()

    def records(self):
        return journal_reader.FileRecords(self.path)

    def pages(self, limit, *kinds, records=None):
        after, numbers, pages = 0, [], 0
        while after is not None:
            page = (records or self.records()).page(after, limit, kinds)
            numbers += [record['number'] for record in page['records']]
            pages += 1
            after = page['next']
        return numbers, pages

    def test_all_pages_have_all_records_once(self):
        self.write(95)
        for limit in (1, 10, 98, 99, 1000):
            self.assertEqual((list(range(1, 100)), -(-99 // limit)), self.pages(limit))

    def test_places_need_not_be_known(self):
        self.write(95)
        with mock.patch.object(journal_reader, 'PLACES', 0):
            self.assertEqual(list(range(1, 100)), self.pages(10)[0])
        self.assertEqual(99, self.records().page(98, 10, ())['records'][0]['number'])

    def test_places_are_bounded(self):
        self.write(95)
        with mock.patch.object(journal_reader, 'PLACES', 3):
            self.pages(10)
        self.assertEqual(3, len(journal_reader.FileRecords._places))

    def test_a_page_is_short_rather_than_long_in_coming(self):
        self.write(5000)
        with mock.patch.object(journal_reader, 'PAGE_BYTES', 10_000):
            numbers, pages = self.pages(1000, 'start', 'sample', 'end')
        self.assertEqual([1, *range(3, 5003), 5004], numbers)
        self.assertGreater(pages, 20)

    def test_kinds_are_looked_for_in_parts(self):
        self.write(5000)
        with mock.patch.object(journal_reader, 'PAGE_BYTES', 10_000):
            numbers, pages = self.pages(10, 'decision', 'end')
        self.assertEqual(([5003, 5004], 2), (numbers, pages))
        self.assertEqual(([5003, 5004], 1), self.pages(10, 'decision', 'end'))

    def test_a_word_in_a_record_is_not_its_kind(self):
        self.kept.add('event', 1.0, text='"end"', words=['end'])
        self.assertEqual([], self.pages(10, 'end')[0])

    def test_a_record_cannot_give_itself_a_number(self):
        self.kept.add('event', 1.0, number='x')
        self.kept.add('event', 1.0, number=7)
        self.assertEqual([1, 2], self.pages(1)[0])

    def test_a_large_one_is_known_by_its_ends(self):
        records = self.write(40_000)
        self.assertGreater(self.path.stat().st_size,
                           journal_reader.HEAD_BYTES + journal_reader.TAIL_BYTES)
        self.assertLess(len(records.ends()), 20_000)
        self.assertTrue(journal_reader.is_of(records, SERVER))
        found = journal_reader.progress(records)
        self.assertEqual(('completed', 1, 'because'), (
            found['outcome'], found['memory']['remaining_bytes'],
            found['last_decision']['reason']))
        found = journal_reader.policy(records)
        self.assertEqual(('pause', {'bandwidth_mib_s': 7}),
                         (found['policy']['on_stall'], found['held']))

    def test_notes_are_those_of_the_end_or_else_of_the_start(self):
        self.assertEqual([], journal_reader.policy(self.write(1))['notes'])
        self.path.unlink()
        self.kept.add('start', 0.0, policy={}, notes=['a'])
        self.kept.add('retune', 0.0, policy={})
        self.assertEqual(['a'], journal_reader.policy(self.records())['notes'])
        self.kept.add('end', 0.0, notes=['a', 'b'])
        self.assertEqual(['a', 'b'], journal_reader.policy(self.records())['notes'])

    def test_ends_overlap_in_no_size(self):
        for samples in (0, 5, 50):
            for head, tail in ((1, 300), (1000, 1000), (3000, 300), (100, 3000)):
                self.path.unlink(missing_ok=True)
                with mock.patch.multiple(journal_reader, HEAD_BYTES=head, TAIL_BYTES=tail):
                    ends = self.write(samples).ends()
                self.assertEqual(('start', 'end'), (ends[0]['kind'], ends[-1]['kind']))
                ats = [(record['kind'], record['at']) for record in ends]
                self.assertEqual(len(ats), len(set(ats)))

    def test_what_is_no_record_is_passed_over(self):
        self.write(1)
        with open(self.path, 'ab') as out:
            out.write(b'\xff\xfe\n[]\n' + b'[' * 100_000 + b'\n{"kind": "cut')
        self.assertEqual([1, 2, 3, 4, 5], self.pages(10)[0])
        self.assertEqual('completed', journal_reader.progress(self.records())['outcome'])
        self.assertFalse(journal_reader.is_of(self.records(), str(uuid.uuid4())))


class KeptTest(testtools.TestCase):

    def test_numbers_stay_when_memory_forgets(self):
        kept = journal_mod.Journal(None, 0.0, 0)
        for number in range(journal_mod.MEMORY_RECORDS + 10):
            kept.add('sample', float(number))
        page = journal_reader.MemoryRecords(kept).page(0, 2, ())
        self.assertEqual(([11, 12], 12), ([r['number'] for r in page['records']], page['next']))
        last = journal_reader.MemoryRecords(kept).page(journal_mod.MEMORY_RECORDS + 9, 2, ())
        self.assertEqual(([journal_mod.MEMORY_RECORDS + 10], None),
                         ([r['number'] for r in last['records']], last['next']))
