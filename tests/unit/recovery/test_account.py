# SPDX-License-Identifier: Apache-2.0
"""What is told of what is written down: all that an operator needs, and no secret."""

from __future__ import annotations

import json

import testtools

from nova_migpolicy.recovery import account
from nova_migpolicy.recovery import advice
from nova_migpolicy.recovery import evidence
from tests.unit.recovery import cases
from tests.unit.recovery import looks

HELD = 'neither host has the guest'
SEEN = looks.seen(job=True, destination=evidence.Destination.SILENT).to_dict()


def undecided(**parts):
    return cases.a_record(undecided={
        'since_s': 1000.0, 'kind': 'hold', 'reason': HELD, 'seen': SEEN, 'seen_s': 1500.0,
        **parts})


class AccountTest(testtools.TestCase):

    def test_one_that_is_undecided(self):
        found = account.entry(undecided(), 2000.0)
        self.assertEqual({
            'server': cases.SERVER, 'migration': cases.MIGRATION, 'source': 'compute1',
            'destination': 'compute2', 'phase': 'copying', 'started_s': 1795870000.5,
            'since_s': 1000.0, 'next_step': 'hold', 'reason': HELD,
            'what_to_do': advice.what_to_do('hold', HELD, cases.SERVER), 'needs_operator': True,
            'seen': SEEN, 'seen_s': 1500.0}, found)

    def test_one_that_is_under_way(self):
        found = account.entry(cases.a_record(undecided=None), 2000.0)
        self.assertEqual(
            [None] * 6 + [False],
            [found[name] for name in ('since_s', 'next_step', 'reason', 'what_to_do', 'seen',
                                      'seen_s', 'needs_operator')])

    def test_one_that_an_earlier_version_wrote(self):
        """It has not written down what it saw."""
        found = account.entry(cases.a_record(undecided={
            'since_s': 1.0, 'kind': 'wait', 'reason': 'any'}), 2.0)
        self.assertEqual((None, None, False),
                         (found['seen'], found['seen_s'], found['needs_operator']))

    def test_what_should_have_passed_needs_an_operator(self):
        record = undecided(kind='wait')
        self.assertFalse(account.needs_operator(record, 1000.0 + advice.LASTS_S))
        self.assertTrue(account.needs_operator(record, 1001.0 + advice.LASTS_S))

    def test_nothing_of_novas_objects_is_told(self):
        secret = {'connection_info': {'auth_password': 'hush'}}
        record = cases.a_record(migrate_data=secret, source_bdms=secret)
        self.assertNotIn('hush', json.dumps(account.entry(record, 0.0)))

    def test_what_was_seen_in_words(self):
        self.assertEqual(
            'the domain on the source runs, with a job in libvirt; the one on the destination is '
            'not known, the host does not answer; for Nova the server is on: source, task state '
            'migrating, and the migration is: under way', account.seen_in_words(SEEN))
        self.assertEqual('-', account.seen_in_words(None))
        for seen, _step in looks.every()[::97]:
            self.assertIn(seen.status.value, account.seen_in_words(seen.to_dict()))
