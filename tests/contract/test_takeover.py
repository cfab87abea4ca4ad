# SPDX-License-Identifier: Apache-2.0
"""A job that an earlier process has begun is watched to its end, and the migration ended by it."""

import contextlib
import dataclasses
import datetime
import pathlib
import threading
from unittest import mock

import fixtures
import libvirt

from nova_migpolicy.compute import driver
from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import kept
from nova_migpolicy.compute import peers
from nova_migpolicy.compute import session as session_mod
from nova_migpolicy.compute import takeover
from nova_migpolicy import exception
from nova_migpolicy.monitor import domains
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy.monitor import journal as journal_mod
from nova_migpolicy.monitor import journal_reader
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy.monitor import resuming
from nova_migpolicy.recovery import evidence
from tests.contract import base
from tests.contract import computing
from tests.contract import libvirtd
from tests.unit.compute import cases
from tests.unit.monitor import fakes

BROKEN = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY_FAILED)
End, Written = outcome_mod.End, evidence.Written


class TakeoverCase(base.ContractCase):
    """A takeover whose session is a mock that ends as a test says."""

    patch = computing.ManagerCase.patch
    volumes = computing.ManagerCase.volumes

    def setUp(self):
        super().setUp()
        self.tested = self.driver(libvirtd.Domain(None), driver.LibvirtDriver)
        self.records, self.current = self.tested._records, self.tested._current
        self.server, self.data = self.instance(), self.migrate_data()
        self.record = kept.describe(
            self.context, self.server, 'dest', self.data.migration, self.data,
            block_migration=False, source_bdms=self.volumes(), source='source',
            written=Written.COPYING)
        self.records.keep(self.record)
        self.records.change(self.record.migration, undecided={
            'since_s': 1.0, 'kind': 'wait', 'reason': 'x'})
        self.patch(hands_mod, 'load', return_value=(self.server, self.data.migration))
        self.explain = self.patch(takeover.nova_records, 'explain')
        self.hands = mock.create_autospec(hands_mod.Hands, instance=True)
        self.session = mock.create_autospec(session_mod.Session, instance=True)
        self.session.call, self.session.journal = outcome_mod.MigrateCall(), mock.Mock()
        self.session.watch.side_effect = self.watch
        self.end = End.COMPLETED
        self.novas = False
        self.adopted, self.given_back = [], []
        self.tested_takeover = takeover.Takeover(
            self.current, self.records, self.hands, mock.Mock(), takeover.Here(
                domain=lambda server: domains.ABSENT,
                guest=lambda server: guest_mod.MigratingGuest(libvirtd.Domain(None)),
                open_session=self.open, events=lambda *args: contextlib.nullcontext(True),
                disk_paths=lambda *args: [], is_novas=lambda *args: self.novas,
                journal=lambda record: journal_mod.Journal(None, 0.0, 0),
                interval_s=lambda: 5.0, call=mock.Mock(), own_guest=mock.Mock(),
                libvirt_version=lambda: 9_000_000,
                resume_obstacle=lambda server, host: None,
                adopt=lambda record, instance: self.adopted.append((record, instance.uuid)),
                give_slots_back=self.given_back.append))

    def discarded(self, here, there):
        self.patch(self.tested_takeover, 'source', return_value=(here, False))
        self.patch(self.tested_takeover, 'destination', return_value=there)
        self.tested_takeover.discard(self.record)
        return (self.hands.discard.call_count, self.tested_takeover._channel.ask.call_count)

    def open(self, current, record, instance, migrate_data):
        self.assertIs(current, self.current[base.UUID])
        self.session.inbox = current.inbox
        return self.session

    def watch(self, reporter, disk_paths, sleep):
        self.assertTrue(self.tested_takeover.is_watched(self.record))
        self.assertIsNone(self.written().undecided)
        return outcome_mod.Outcome(self.end, 'because')

    def written(self):
        return self.records.get(self.record.migration)

    def take_over(self):
        try:
            self.tested_takeover.watch(self.record)
        finally:
            self.assertEqual({}, self.current)
            self.assertFalse(self.tested_takeover.is_watched(self.record))


class TestDiscard(TakeoverCase):

    def test_each_host_that_has_something_of_it_removes_that(self):
        source, there = evidence.Source, evidence.Destination
        self.assertEqual((0, 0), self.discarded(source.ABSENT, there.ABSENT))
        self.assertEqual((1, 0), self.discarded(source.RUNNING, there.ABSENT))
        self.assertEqual((1, 1), self.discarded(source.ABSENT, there.POST_COPY_FAILED))
        self.assertEqual({'server': base.UUID}, self.tested_takeover._channel.ask.call_args.kwargs)
        self.assertEqual(('dest', 'discard'),
                         self.tested_takeover._channel.ask.call_args.args[1:])

    def test_where_this_host_cannot_the_other_is_not_asked(self):
        self.hands.discard.side_effect = exception.GuestError('destroy', 'not deleted')
        self.assertRaises(exception.GuestError, self.discarded, evidence.Source.RUNNING,
                          evidence.Destination.ARRIVED)
        self.tested_takeover._channel.ask.assert_not_called()

    def test_a_destination_that_was_not_chosen_has_nothing(self):
        self.assertIs(evidence.Destination.ABSENT, self.tested_takeover.destination(
            self.context, '', base.UUID))
        self.tested_takeover._channel.ask.assert_not_called()


class TestResume(TakeoverCase):
    """Post-copy is taken up where it broke off, and watched meanwhile."""

    def resume(self, **answers):
        self.domain = fakes.Domain(**{'state': BROKEN, 'jobStats': {
            'type': 2, 'memory_total': 20, 'memory_processed': 7, 'memory_remaining': 9},
            **answers})
        guest = guest_mod.MigratingGuest(self.domain)
        self.patch(takeover.peers, 'look', return_value=peers.Whereabouts(
            domains.Answers(evidence.Source.RUNNING, False,
                            evidence.Destination.POST_COPY_FAILED), 'dest', 9_000_000, 0))
        self.tested_takeover._here = dataclasses.replace(
            self.tested_takeover._here, guest=lambda server: guest,
            own_guest=lambda server: contextlib.nullcontext(guest),
            resume_obstacle=lambda server, host: None,
            call=lambda *args: resuming.Call('there', {}, 0))
        return self.tested_takeover.resume_post_copy(self.record)

    def test_one_that_hangs_again_is_broken_off_and_can_be_taken_up_again(self):
        broken_off = threading.Event()
        for name, value in (('LOOK_EVERY_S', 0.01), ('HANGS_S', 0.0)):
            self.useFixture(fixtures.MonkeyPatch(
                f'nova_migpolicy.monitor.breaking.{name}', value))

        def hang():
            self.assertTrue(broken_off.wait(computing.LONG_S))
            return fakes.error(1, 'it broke off')

        self.assertEqual(2.0, round(self.resume(
            migrateToURI3=hang, abortJobFlags=broken_off.set), 1))
        self.assertEqual(1, self.written().tries)

    def test_one_that_is_whole_is_looked_at_again_at_once(self):
        self.assertEqual(0.0, self.resume(migrateToURI3=0))

    def test_it_has_its_slots_until_it_is_whole(self):
        def call():
            self.assertEqual(([(self.record, self.record.server)], []),
                             (self.adopted, self.given_back))
            return 0

        self.resume(migrateToURI3=call)
        self.assertEqual([self.record.migration], self.given_back)

    def test_and_has_none_between_two_tries(self):
        self.resume(migrateToURI3=fakes.error(1, 'it broke off'))
        self.assertEqual([self.record.migration], self.given_back)

    def test_one_that_cannot_be_tried_waits(self):
        self.tested_takeover._here = dataclasses.replace(
            self.tested_takeover._here, libvirt_version=lambda: 0)
        self.assertIsNone(self.resume())


class TestEnd(TakeoverCase):
    """The end in the timeline, by recovery."""

    def ends(self, outcome, *earlier):
        path = journal_mod.file_for(pathlib.Path(self.useFixture(fixtures.TempDir()).path),
                                    self.record.migration)
        for kind, fields in earlier:
            journal_mod.Journal(path, 0.0, 1 << 20).add(kind, 1.0, **fields)
        self.tested_takeover._here = dataclasses.replace(
            self.tested_takeover._here,
            journal=lambda record: journal_mod.Journal(path, 0.0, 1 << 20))
        for _ in range(2):
            self.tested_takeover.end(self.record, outcome, 'recovery: because')
        records = journal_reader.FileRecords(path)
        self.assertTrue(journal_reader.is_of(records, base.UUID))
        return ([one['outcome'] for one in journal_mod.read(path) if one['kind'] == 'end'],
                journal_reader.progress(records))

    def test_it_is_written_once(self):
        ends, found = self.ends('completed', ('start', {'server': base.UUID}))
        self.assertEqual(['completed'], ends)
        self.assertEqual(('done', 'completed', 'recovery: because', 100.0), (
            found['phase'], found['outcome'], found['reason'], found['percent']))
        self.assertGreaterEqual(found['final']['total_seconds'], 0.0)

    def test_the_newest_counts(self):
        ends, found = self.ends('completed', ('start', {'server': base.UUID}), (
            'end', {'outcome': 'broken', 'reason': 'post-copy broke off'}))
        self.assertEqual((['broken', 'completed'], 'completed'), (ends, found['outcome']))

    def test_what_its_monitor_has_seen_is_kept(self):
        for seen, outcome in (('cancelled', 'failed'), ('failed', 'failed'),
                              ('completed', 'completed')):
            self.assertEqual([seen], self.ends(outcome, ('start', {'server': base.UUID}), (
                'end', {'outcome': seen}))[0])

    def test_one_that_no_monitor_has_watched_has_a_start_too(self):
        ends, found = self.ends('failed', ('event', {'text': 'recovery: mark as rolling back'}))
        self.assertEqual((['failed'], 'failed'), (ends, found['outcome']))
        self.assertAlmostEqual(self.record.started_s, (datetime.datetime.fromisoformat(
            found['started_at']).timestamp()), 2)


class TestTakeover(TakeoverCase):

    def test_a_guest_that_arrives_is_finished(self):
        self.hands.finish.side_effect = lambda record: self.assertIs(
            Written.FINISHING, self.written().written)
        self.take_over()
        self.hands.finish.assert_called_once_with(self.record)
        self.hands.roll_back.assert_not_called()
        self.explain.assert_not_called()

    def test_a_guest_that_stays_is_rolled_back_with_novas_word_and_the_reason(self):
        self.hands.roll_back.side_effect = lambda *args: self.assertIs(
            Written.ROLLING_BACK, self.written().written)
        for self.end, word in ((End.FAILED, 'failed'), (End.CANCELLED, 'cancelled')):
            self.take_over()
            self.hands.roll_back.assert_called_once_with(self.record, word)
            self.assertEqual('because', self.explain.call_args.args[-1])
            self.hands.roll_back.reset_mock()
        self.hands.finish.assert_not_called()

    def test_a_broken_post_copy_is_left_alone(self):
        self.end = End.BROKEN
        self.take_over()
        self.assertEqual([], self.hands.method_calls)
        self.assertIs(Written.COPYING, self.written().written)

    def test_what_may_have_arrived_is_left_to_the_next_look(self):
        self.end = End.UNDECIDED
        self.take_over()
        self.assertEqual([], self.hands.method_calls)
        self.assertIs(Written.COPYING, self.written().written)

    def test_it_has_its_slots_as_long_as_its_data_flows(self):
        def flow(*args):
            self.assertEqual(([(self.record, self.record.server)], []),
                             (self.adopted, self.given_back))
            self.session.flowed()
            self.assertEqual([self.record.migration], self.given_back)
            return outcome_mod.Outcome(End.FAILED, 'because')

        self.session.watch.side_effect = flow
        self.take_over()

    def test_what_is_left_keeps_them_and_what_is_broken_does_not(self):
        self.session.watch.side_effect = lambda *args: None
        self.take_over()
        self.assertEqual([], self.given_back)
        self.session.watch.side_effect = self.watch
        self.end = End.BROKEN
        self.take_over()
        self.assertEqual([self.record.migration], self.given_back)

    def test_what_is_left_to_the_next_process_is_left_alone(self):
        self.session.watch.side_effect = lambda *args: None
        self.take_over()
        self.assertEqual([], self.hands.method_calls)
        self.assertIs(Written.COPYING, self.written().written)

    def test_whatever_fails_it_is_watched_no_longer(self):
        self.session.watch.side_effect = RuntimeError('a bug')
        self.assertRaises(RuntimeError, self.take_over)
        self.session.watch.side_effect = self.watch
        self.hands.finish.side_effect = RuntimeError('no bus')
        self.assertRaises(RuntimeError, self.take_over)
        self.assertIs(Written.FINISHING, self.written().written)
        self.open = mock.Mock(side_effect=exception.GuestError('state', 'libvirt is away'))
        self.tested_takeover = takeover.Takeover(
            self.current, self.records, self.hands, mock.Mock(), mock.Mock(
                open_session=self.open, is_novas=lambda *args: False))
        self.assertRaises(exception.GuestError, self.take_over)

    def test_what_is_novas_is_watched(self):
        self.novas = True
        self.assertTrue(self.tested_takeover.is_watched(self.record))


class TestPolicy(TakeoverCase):
    """The policy that was written down is in force, unless it means nothing here."""

    def setUp(self):
        super().setUp()
        self.take = self.patch(session_mod.Session, 'take_over')

    def policy(self, **policy):
        record = self.record.from_dict({**self.record.to_dict(), 'policy': policy})
        current = driver.migration_mod.Migration(record.migration, inbox_mod.Inbox())
        self.tested._circumstances = mock.Mock(return_value=cases.BASE)
        made = self.tested._take_over(current, record, self.server, self.data)
        self.take.assert_called_with(record)
        self.assertEqual(made.start.resolved, current.resolved)
        return made.policy

    def test_it_is_in_force(self):
        self.assertEqual((77, 'pause'), self.read(self.policy(
            fields={'max_downtime_ms': 77, 'on_stall': 'pause', 'haste': 1},
            origins={'max_downtime_ms': 'flavor'})))
        self.assertNotIn('does not count', self.log.output)

    def test_one_that_means_nothing_here_is_resolved_again_with_a_warning(self):
        self.server = self.instance({'migpolicy:max_downtime_ms': '88'})
        for bad in ({'max_downtime_ms': 'long'}, {'on_stall': 'pray'}, {'remedies': [1]}):
            found = self.policy(fields={'max_downtime_ms': 77, **bad})
            self.assertEqual(88, found.max_downtime_ms)
            self.assertIn(next(iter(bad)), self.log.output)

    def test_nor_does_its_request_count_where_it_means_nothing(self):
        found = self.policy(fields={}, request={'haste': 3})
        self.assertEqual(self.policy(fields={}), found)
        self.assertIn('haste', self.log.output)

    @staticmethod
    def read(policy):
        return policy.max_downtime_ms, policy.on_stall
