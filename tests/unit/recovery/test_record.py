# SPDX-License-Identifier: Apache-2.0
"""What is written down can be read by this version, the previous and the next; else it is told."""

from __future__ import annotations

import dataclasses
import json

import testtools

from nova_migpolicy import exception
from nova_migpolicy.recovery import record
from tests.unit.recovery import cases


def deep(depth):
    found = {}
    for _ in range(depth):
        found = {'a': found}
    return found


#: field, value, reason
WRONG = (
    ('format', 'libvirt', 'another program'),
    ('version', 0, 'the first version is 1'),
    ('version', True, 'whole number'),
    ('needs', '1', 'whole number'),
    ('server', 'a', 'not a UUID'),
    ('server', None, 'not a UUID'),
    ('migration', f'../{cases.MIGRATION}', 'not a UUID'),
    ('migration', f'{cases.MIGRATION}\n', 'not a UUID'),
    ('migration', cases.MIGRATION.replace('-', ''), 'not a UUID'),
    ('source', '', 'empty'),
    ('source', 7, 'not text'),
    ('destination', 'x' * 5000, 'longer than 4096'),
    ('written', 'copied', 'not a phase'),
    ('written', 'flying', 'not a phase'),
    ('written', ['copying'], 'not a phase'),
    ('was_paused', 1, 'neither true nor false'),
    ('block_migration', 'yes', 'neither true nor false'),
    ('block_migration', None, 'neither true nor false'),
    ('started_s', 'now', 'seconds since the epoch'),
    ('started_s', True, 'seconds since the epoch'),
    ('started_s', -1, 'seconds since the epoch'),
    ('started_s', float('nan'), 'seconds since the epoch'),
    ('started_s', float('inf'), 'seconds since the epoch'),
    ('started_s', 10 ** 5000, 'seconds since the epoch'),
    ('request_id', 5, 'not text'),
    ('user_id', b'u', 'not text'),
    ('project_id', False, 'not text'),
    ('migrate_data', [], 'not a mapping'),
    ('migrate_data.a[1]', {'a': [1, float('inf')]}, 'not a finite number'),
    ('migrate_data.a.b', {'a': {'b': 10 ** 5000}}, 'more than 64 bits'),
    ('migrate_data.a', {'a': {1, 2}}, 'nothing that JSON can express'),
    ('migrate_data.a', {'a': object()}, 'nothing that JSON can express'),
    ('a key of migrate_data.a', {'a': {1: 2}}, 'not text'),
    ('migrate_data' + '.a' * 65, deep(70), 'more than 64 deep'),
    ('source_bdms', 'all', 'not a mapping'),
    ('policy', None, 'not a mapping'),
    ('policy.fields', {'fields': None}, 'not a mapping'),
    ('policy.origins.a', {'origins': {'a': 1}}, 'not text'),
    ('policy.retuned.x', {'retuned': {'x': float('nan')}}, 'not a finite number'),
    ('undecided.since_s', {}, 'seconds since the epoch'),
    ('undecided.kind', {'since_s': 1, 'kind': ''}, 'empty'),
    ('undecided.reason', {'since_s': 1, 'kind': 'hold', 'reason': 5}, 'not text'),
    ('undecided.seen_s', {'since_s': 1, 'kind': 'hold', 'seen_s': 'now'},
     'seconds since the epoch'),
    ('undecided.seen', {'since_s': 1, 'kind': 'hold', 'seen': 'all'}, 'not a mapping'),
    ('undecided.seen.job', {'since_s': 1, 'kind': 'hold', 'seen': {'job': 'yes'}},
     'neither true nor false'),
    ('tries', -1, 'whole number'),
    ('tries', 1.5, 'whole number'),
    ('tries', 1 << 63, 'whole number'),
    ('tries', 1.0, 'whole number'),
)


class DocumentTest(testtools.TestCase):

    def refusal(self, given):
        return self.assertRaises(exception.BadRecord, record.Record.from_dict, given)

    def test_it_is_this(self):
        self.assertEqual(cases.DOCUMENT, cases.a_record().to_dict())
        self.assertEqual(cases.a_record(), record.Record.from_dict(cases.DOCUMENT))

    def test_as_bytes(self):
        document = cases.a_record().to_bytes()
        self.assertEqual(cases.DOCUMENT, json.loads(document))
        self.assertEqual(cases.a_record(), record.Record.from_bytes(document))

    def test_every_field_is_checked(self):
        self.assertEqual({field.name for field in dataclasses.fields(record.Record)},
                         set(record._CHECKS))

    def test_of_a_version_that_knew_less(self):
        found = record.Record.from_dict(cases.least())
        self.assertEqual(
            (None, None, None, None, None, None, 0),
            (found.request_id, found.user_id, found.project_id,
             found.migrate_data, found.source_bdms, found.undecided, found.tries))
        self.assertEqual({'fields': {}, 'origins': {}, 'request': {}, 'retuned': {}, 'held': {}},
                         found.policy)

    def test_of_the_version_before_this(self):
        """It wrote down what nobody reads, and not what was seen."""
        given = {name: cases.DOCUMENT['undecided'][name] for name in ('since_s', 'kind', 'reason')}
        found = record.Record.from_dict({
            **cases.DOCUMENT, 'disk_paths': ['/a'], 'undecided': given,
            'settings': {'bandwidth_mib_s': 10, 'throttle_is_held': True}})
        self.assertEqual(cases.a_record(undecided=given), found)
        self.assertEqual({**given, 'seen_s': None, 'seen': None}, found.undecided)

    def test_of_a_version_that_knew_more(self):
        later = {**cases.DOCUMENT, 'version': 2, 'colour': [1],
                 'undecided': {**cases.DOCUMENT['undecided'], 'who': 'u1'}}
        self.assertEqual(cases.a_record(), record.Record.from_dict(later))

    def test_one_that_needs_a_later_reader(self):
        error = self.refusal({**cases.DOCUMENT, 'version': 3, 'needs': 2})
        self.assertEqual(('needs', 2), (error.field, error.value))
        self.assertEqual(
            'record of a migration, needs = 2: a later version of the plugin wrote it, and this '
            'one can read what needs version 1 at most', str(error))

    def test_what_it_must_have(self):
        for name in cases.least():
            given = cases.least()
            del given[name]
            self.assertEqual(name, self.refusal(given).field)

    def test_no_document(self):
        for given in (None, 5, 'text', b'{}', [], [('format', 1)]):
            self.assertEqual('document', self.refusal(given).field)

    def test_a_value_that_cannot_be(self):
        for field, value, reason in WRONG:
            name = field.removeprefix('a key of ').split('.')[0].split('[')[0]
            error = self.refusal({**cases.DOCUMENT, name: value})
            self.assertEqual(field, error.field)
            self.assertIn(reason, error.reason)
            self.assertIn(field, str(error))
            self.assertLess(len(str(error)), 400)

    def test_what_is_made_is_checked_too(self):
        error = self.assertRaises(exception.BadRecord, cases.a_record, written='copied')
        self.assertEqual('written', error.field)
        self.assertRaises(exception.BadRecord, dataclasses.replace, cases.a_record(), tries=-1)

    def test_no_secret_is_told(self):
        for given in ({**cases.DOCUMENT, 'request_id': {'password': 'hush'}},
                      {**cases.DOCUMENT, 'source_bdms': [{'password': 'hush'}]},
                      {**cases.DOCUMENT, 'source_bdms': {'password': b'hush'}}):
            self.assertNotIn('hush', str(self.refusal(given)))


class CopyTest(testtools.TestCase):

    def test_what_was_given_may_go_on_to_change(self):
        retuned, objects = {'bandwidth_mib_s': 10}, [1]
        made = cases.a_record(policy={'retuned': retuned}, source_bdms={'objects': objects})
        retuned['bandwidth_mib_s'] = 20
        objects.append(2)
        self.assertEqual({'bandwidth_mib_s': 10}, made.policy['retuned'])
        self.assertEqual([1], made.source_bdms['objects'])

    def test_tuples_are_lists_already(self):
        made = cases.a_record(migrate_data={'a': (1, (2,))})
        self.assertEqual({'a': [1, [2]]}, made.migrate_data)
        self.assertEqual(made, record.Record.from_bytes(made.to_bytes()))


class BytesTest(testtools.TestCase):

    def refusal(self, given):
        return str(self.assertRaises(exception.BadRecord, record.Record.from_bytes, given))

    def test_cut_off_anywhere(self):
        document = cases.a_record().to_bytes()
        for size in range(len(document)):
            self.assertIn(f'cut off after {size} bytes', self.refusal(document[:size]))

    def test_no_json(self):
        for given in (b'}\n', b'{"a": NaN}\n', b'{"a": Infinity}\n', b'{"a": 1, "a": 1}\n',
                      b'\xff}\n', b'[' * 100_000 + b'}\n', b'{"a": ' * 100_000 + b'}\n',
                      b'{"a": ' + b'9' * 5000 + b'}\n', b'{"a": "\x00"}\n'):
            self.assertIn('not JSON', self.refusal(given))

    def test_no_secret_is_told(self):
        self.assertNotIn('hush', self.refusal(b'{"password": hush}\n'))

    def test_too_large(self):
        large = cases.a_record(migrate_data={'a': 'x' * record.MOST_BYTES})
        error = self.assertRaises(exception.BadRecord, large.to_bytes)
        self.assertIn('are more than 4194304', str(error))
        self.assertIn('are more than 4194304', self.refusal(
            cases.a_record().to_bytes().rjust(record.MOST_BYTES + 1)))
        self.assertEqual(cases.a_record(), record.Record.from_bytes(
            cases.a_record().to_bytes().rjust(record.MOST_BYTES)))

    def test_a_server_with_many_volumes_is_not(self):
        volumes = [{'connection_info': 'x' * 4096}] * 500
        cases.a_record(source_bdms={'objects': volumes}).to_bytes()
