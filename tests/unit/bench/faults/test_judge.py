# SPDX-License-Identifier: Apache-2.0
"""What counts as agreement after a fault, and what as which violation."""

from __future__ import annotations

import dataclasses

import testtools

from bench.faults import judge

MOVED = judge.Seen(
    running=('n2',), defined=('n2',), beating=('n2',), server=('ACTIVE', None, 'n2', False),
    migration='completed', allocations=('n2',), files=('n2',))
STAYED = judge.Seen(
    running=('n1',), defined=('n1',), beating=('n1',), server=('ACTIVE', None, 'n1', False),
    migration='cancelled', allocations=('n1',), files=('n1',))
GONE = judge.Seen(defined=('n1',), server=('SHUTOFF', None, 'n1', False), migration='failed',
                  allocations=('n1',), files=('n1',))
LOCKED = ('ACTIVE', 'migrating', 'n1', True)
HELD = judge.Seen(defined=('n1', 'n2'), server=LOCKED, migration='running', records=1,
                  hold=judge.Hold('hold', 'both hosts have a part'))
FINE = judge.History()
DESTROYED = judge.History(destroyed=True)


def change(seen, **fields):
    return dataclasses.replace(seen, **fields)


class TestJudge(testtools.TestCase):

    def assert_verdict(self, kind, words, seen, history=FINE):
        found = judge.verdict(seen, history, 'n2')
        self.assertEqual(kind, found.kind, found)
        self.assertIn(words, found.what)

    def test_all_agrees(self):
        self.assert_verdict(judge.Kind.AGREED, 'moved', MOVED)
        self.assert_verdict(judge.Kind.AGREED, 'stayed', STAYED)
        self.assert_verdict(judge.Kind.AGREED, 'deleted', judge.Seen())

    def test_each_thing_that_disagrees(self):
        for words, fields in {
                'still has a job': {'job': True},
                'the migration is running and not completed': {'migration': 'running'},
                'ERROR, no task, on n2': {'server': ('ERROR', None, 'n2', False)},
                'ACTIVE, migrating, on n2': {'server': ('ACTIVE', 'migrating', 'n2', False)},
                'no task, on n1; it runs on n2': {'server': ('ACTIVE', None, 'n1', False)},
                'is locked': {'server': ('ACTIVE', None, 'n2', True)},
                'beats on none': {'beating': ()},
                'beats on n1 and n2': {'beating': ('n1', 'n2')},
                'is defined on n1 and n2': {'defined': ('n1', 'n2')},
                'its allocations are on n1 and': {'allocations': ('n1', 'n2')},
                "the migration's allocations are on n1": {'of_the_migration': ('n1',)},
                'files of it are on n1': {'files': ('n1', 'n2')},
                "1 of the plugin's records": {'records': 1},
                'no answer: nova-api': {'silent': ('nova-api',)}}.items():
            self.assert_verdict(judge.Kind.DISAGREES, words, change(MOVED, **fields))

    def test_what_a_deleted_server_has_left(self):
        for fields in ({'running': ('n2',)}, {'defined': ('n1',)}, {'allocations': ('n1',)},
                       {'files': ('n2',)}, {'records': 1}, {'job': True}):
            self.assert_verdict(judge.Kind.DISAGREES, '', judge.Seen(**fields))

    def test_a_guest_that_was_destroyed(self):
        self.assert_verdict(judge.Kind.AGREED, 'Nova says so', GONE, DESTROYED)
        self.assert_verdict(judge.Kind.LOST_GUEST, 'nobody runs it', GONE)
        self.assert_verdict(judge.Kind.DISAGREES, 'ACTIVE, no task', change(
            GONE, server=('ACTIVE', None, 'n1', False)), DESTROYED)
        # It need not be lost.
        self.assert_verdict(judge.Kind.AGREED, 'moved', MOVED, DESTROYED)

    def test_a_guest_that_was_evacuated_after_its_migration_had_failed(self):
        anew = judge.History(destroyed=True, restarted=True)
        for status in ('failed', 'error', 'completed'):
            self.assert_verdict(judge.Kind.AGREED, 'moved', change(MOVED, migration=status), anew)
        for history in (FINE, DESTROYED):
            self.assert_verdict(judge.Kind.DISAGREES, 'is failed and not completed',
                                change(MOVED, migration='failed'), history)

    def test_two_copies(self):
        for history in (judge.History(together=True), judge.History(back_and_forth=True),
                        judge.History(together=True, destroyed=True)):
            self.assert_verdict(judge.Kind.TWO_COPIES, '', MOVED, history)

    def test_another_guest_than_it_was(self):
        self.assert_verdict(judge.Kind.LOST_GUEST, 'anew', MOVED, judge.History(restarted=True))
        self.assert_verdict(judge.Kind.AGREED, 'moved', MOVED, judge.History(
            restarted=True, destroyed=True))

    def test_undecided_only_where_the_evidence_decides_nothing(self):
        for history in (DESTROYED, judge.History(halved=True)):
            self.assert_verdict(judge.Kind.UNDECIDED, 'both hosts have a part', HELD, history)
        self.assert_verdict(judge.Kind.HELD, 'both hosts have a part', HELD)

    def test_not_held_without_a_lock_and_a_reason(self):
        for fields in ({'server': ('ACTIVE', 'migrating', 'n1', False)}, {'hold': None},
                       {'hold': judge.Hold('wait', 'the destination does not answer')}):
            self.assert_verdict(judge.Kind.DISAGREES, 'nobody runs it, and Nova',
                                change(HELD, **fields), DESTROYED)
