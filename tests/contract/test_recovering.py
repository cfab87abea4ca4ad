# SPDX-License-Identifier: Apache-2.0
"""How recovery takes up what nobody watches: once each, again after a fault, and told once."""

import pathlib
import threading
from unittest import mock

import fixtures

from nova_migpolicy.compute import hands as hands_mod
from nova_migpolicy.compute import recovering
from nova_migpolicy import exception
from nova_migpolicy.recovery import evidence
from nova_migpolicy.recovery import plan
from nova_migpolicy import written
from tests.contract import base
from tests.contract import computing
from tests.unit.recovery import cases

LONG_S = computing.LONG_S
Home, Status = evidence.Home, evidence.Status
Source, Destination = evidence.Source, evidence.Destination
UNDER_WAY = (Home.SOURCE, Status.UNDER_WAY, True, False)
OVER = (Home.SOURCE, Status.ENDED, False, False)


class RecoveryCase(base.ContractCase):
    """A recovery that finds a guest on its source, and Nova of the opinion that it migrates."""

    def setUp(self):
        super().setUp()
        self.records = written.Records(pathlib.Path(self.useFixture(fixtures.TempDir()).path))
        self.world = mock.create_autospec(recovering.World, instance=True)
        self.world.is_watched.return_value = False
        self.world.source.return_value = (Source.RUNNING, False)
        self.world.destination.return_value = Destination.ABSENT
        self.hands = mock.create_autospec(hands_mod.Hands, instance=True)
        self.hands.roll_back.side_effect = self.rolled_back
        self.nova = UNDER_WAY
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.compute.hands.nova_knows',
            lambda record, context: hands_mod.Known(*self.nova)))
        self.search = mock.Mock(return_value=[])
        self.now_s = 0.0
        self.recovery = recovering.Recovery(
            self.records, self.hands, self.world, self.search, lambda: self.now_s)
        self.record = cases.a_record(undecided=None, tries=0)
        self.records.keep(self.record)
        self.paid = []

    def rolled_back(self, record):
        self.nova = OVER

    def wait(self):
        """Wait until nothing is being taken up, by what was found neither."""
        def at_work():
            return [one for one in threading.enumerate() if one.name.startswith('recovery of')]

        while threads := at_work():
            for thread in threads:
                thread.join(LONG_S)
                self.assertFalse(thread.is_alive())
        self.assertEqual(set(), self.recovery._busy)

    def look(self):
        self.recovery.look_around()
        self.wait()

    def now(self):
        return self.records.get(self.record.migration)

    def told(self):
        return [call.args[1] for call in self.world.tell.call_args_list]


class TestEvacuated(RecoveryCase):
    """Nova has the server on a third host, and the source still runs it."""

    def setUp(self):
        super().setUp()
        self.nova = hands_mod.Known(Home.OTHER, Status.GIVEN_UP, False, False)
        self.evacuated_to = self.useFixture(fixtures.MockPatch(
            'nova_migpolicy.compute.hands.evacuated_to', return_value='third')).mock
        self.third = Destination.ARRIVED
        self.world.destination.side_effect = lambda context, host, server: (
            self.third if host == 'third' else Destination.ABSENT)
        self.hands.end_copy.side_effect = lambda record: setattr(
            self.world.source, 'return_value', (Source.ABSENT, False))

    def test_its_copy_is_ended_and_the_migration_too(self):
        self.look()
        self.assertEqual(['end_copy', 'remove_source_copy', 'close', 'unlock'],
                         [call[0] for call in self.hands.method_calls])
        self.assertIn('recovery: end the second copy on the source, for', self.told()[0])
        self.assertIsNone(self.now())

    def test_it_is_held_where_the_third_host_does_not_say_that_it_runs_it(self):
        for self.third in set(Destination) - {Destination.ARRIVED}:
            self.look()
        self.third, self.evacuated_to.return_value = Destination.ARRIVED, None
        self.look()
        self.hands.end_copy.assert_not_called()
        self.assertEqual('hold', self.now().undecided['kind'])

    def test_no_third_host_is_asked_where_nova_has_it_on_one_of_both(self):
        self.nova = OVER
        self.look()
        self.evacuated_to.assert_not_called()


class TestSteps(RecoveryCase):

    def test_step_after_step_until_nothing_is_left(self):
        self.look()
        self.assertEqual(['let_run', 'roll_back', 'unlock', 'drop_allocation'],
                         [call[0] for call in self.hands.method_calls])
        self.assertIsNone(self.now())
        self.assertEqual(2, len(self.told()) - sum('mark' in one for one in self.told()))

    def test_one_that_was_completed_before_the_guest_came_back_keeps_no_allocation(self):
        self.nova = hands_mod.Known(Home.SOURCE, Status.COMPLETED, False, False)
        self.hands.drop_allocation.side_effect = RuntimeError('no placement')
        self.look()
        self.assertIsNotNone(self.now())
        self.hands.drop_allocation.side_effect = None
        self.look()
        self.assertIsNone(self.now())
        self.hands.close.assert_not_called()
        self.hands.remove_source_copy.assert_not_called()

    def test_what_was_found_without_a_record_is_written_down_and_taken_up(self):
        self.records.drop(self.record.migration)
        lost = cases.a_record(written=evidence.Written.LOST, undecided=None, tries=0)
        self.search.return_value = [lost]
        for _ in range(recovering.SEARCH_EVERY):
            self.hands.lock.assert_not_called()
            self.look()
        self.hands.lock.assert_called_once()
        self.assertIn('is lost', self.now().undecided['reason'])
        self.assertEqual(1, self.search.call_count)

    def test_what_is_written_down_is_not_made_again(self):
        self.world.is_watched.return_value = True
        self.search.return_value = [
            cases.a_record(written=evidence.Written.LOST, undecided=None, tries=0)]
        for _ in range(recovering.SEARCH_EVERY):
            self.look()
        self.assertEqual(self.record, self.now())

    def test_a_search_that_fails_is_made_again(self):
        self.search.side_effect = RuntimeError('no database')
        for _ in range(2 * recovering.SEARCH_EVERY):
            self.look()
        self.assertEqual(2, self.search.call_count)
        self.assertIn('no database', self.log.output)

    def test_a_copy_that_libvirt_holds_on_to_is_tried_again_and_told(self):
        self.world.source.return_value = Source.SHUT_OFF, False
        self.world.destination.return_value = Destination.ARRIVED
        held = exception.GuestError('undefineFlags', 'start libvirt on this host again')
        self.hands.remove_source_copy.side_effect = [held, held, None]
        for _ in range(2):
            self.look()
            self.assertIn('start libvirt', self.now().undecided['reason'])
        self.hands.finish.assert_not_called()
        self.look()
        self.hands.finish.assert_called_once()

    def test_what_is_known(self):
        is_known = self.recovery.known()
        server, other = self.record.server, self.record.migration[::-1]
        self.assertEqual([True, True, False, False], [
            is_known(server, self.record.migration), is_known(server, None),
            is_known(server, other), is_known(other, None)])

    def test_what_is_watched_is_left_alone(self):
        self.world.is_watched.return_value = True
        self.look()
        self.assertEqual([], self.hands.method_calls)
        self.assertFalse(self.recovery.has_touched(self.record.server))

    def test_one_is_taken_up_by_one_thread_at_a_time(self):
        began, go_on = threading.Semaphore(0), threading.Event()

        def roll_back(record):
            began.release()
            self.assertTrue(go_on.wait(LONG_S))
            self.nova = OVER

        self.hands.roll_back.side_effect = roll_back
        self.recovery.look_around()
        self.assertTrue(began.acquire(timeout=LONG_S))
        for _ in range(3):
            self.recovery.look_around()
            self.recovery.finish(self.record.migration)
        go_on.set()
        self.wait()
        self.assertEqual(1, self.hands.roll_back.call_count)
        self.assertTrue(self.recovery.has_touched(self.record.server))

    def test_two_migrations_do_not_wait_for_each_other(self):
        other = cases.a_record(migration=cases.OTHER, server=cases.OTHER, undecided=None)
        self.records.keep(other)
        both = threading.Barrier(2)

        def roll_back(record):
            both.wait(LONG_S)
            self.nova = OVER

        self.hands.roll_back.side_effect = roll_back
        self.look()
        self.assertEqual([], self.records.all())

    def test_a_step_that_fails_is_noted_told_once_and_taken_again(self):
        self.hands.roll_back.side_effect = RuntimeError('no bus')
        self.look()
        first = self.now().undecided
        self.assertIn('no bus', first['reason'])
        for _ in range(2):
            self.look()
        self.assertEqual(first, self.now().undecided)
        self.assertEqual(1, sum('no bus' in one for one in self.told()))
        self.assertEqual(3, self.hands.roll_back.call_count)
        self.hands.roll_back.side_effect = self.rolled_back
        self.look()
        self.assertIsNone(self.now())

    def test_a_step_that_changes_nothing_is_not_taken_again_at_once(self):
        """A server that was deleted, and of which the destination still has something."""
        self.nova = Home.NONE, Status.MISSING, False, False
        self.world.source.return_value = (Source.ABSENT, False)
        answers = [Destination.ARRIVED] * 20
        self.world.destination.side_effect = lambda *args: answers.pop()
        self.look()
        self.assertEqual('discard', self.now().undecided['kind'])
        self.assertGreater(len(answers), 10)
        self.world.destination.side_effect = None
        self.look()
        self.assertIsNone(self.now())

    def test_what_is_waited_for_is_told_once_for_each_reason(self):
        self.world.destination.return_value = Destination.SILENT
        for _ in range(3):
            self.look()
        since_s = self.now().undecided['since_s']
        self.world.destination.return_value = Destination.INCOMING
        for _ in range(2):
            self.look()
        self.assertEqual(2, len(self.told()), self.told())
        self.assertEqual(since_s, self.now().undecided['since_s'])
        self.assertEqual([], self.hands.method_calls)

    def test_what_was_seen_last_is_kept(self):
        self.world.destination.return_value = Destination.SILENT
        self.look()
        first = self.now().undecided
        self.assertEqual({
            'source': 'runs', 'job': False, 'destination': Destination.SILENT.value,
            'home': 'source', 'status': 'under way', 'migrating': True}, first['seen'])
        self.assertEqual(first['since_s'], min(first['since_s'], first['seen_s'] + 1))
        # Seen again, it is not written again at once.
        self.look()
        self.assertEqual(first, self.now().undecided)
        self.nova = OVER
        self.look()
        changed = self.now().undecided
        self.assertEqual((first['since_s'], first['reason'], 'ended', False), (
            changed['since_s'], changed['reason'], changed['seen']['status'],
            changed['seen']['migrating']))
        self.records.change(self.record.migration, undecided={**changed, 'seen_s': 5.0})
        self.look()
        self.assertLessEqual(changed['seen_s'], self.now().undecided['seen_s'])
        self.assertEqual(1, len(self.told()), self.told())

    def test_what_was_seen_before_a_look_failed_is_kept(self):
        self.world.destination.return_value = Destination.SILENT
        self.look()
        first = self.now().undecided
        self.world.destination.side_effect = RuntimeError('a bug')
        self.look()
        now = self.now().undecided
        self.assertIn('a bug', now['reason'])
        self.assertEqual((first['seen'], first['seen_s']), (now['seen'], now['seen_s']))

    def test_what_cannot_be_decided_is_locked_and_kept(self):
        self.world.destination.return_value = Destination.ARRIVED
        self.look()
        self.hands.lock.assert_called_once()
        self.assertEqual('both hosts run the guest', self.hands.lock.call_args.args[1])
        self.assertEqual('hold', self.now().undecided['kind'])

    def wait_for_destination(self, for_s=0.0):
        """Look while the destination does not answer, which has lasted for so long."""
        self.world.destination.return_value = Destination.SILENT
        self.look()
        undecided = self.now().undecided
        self.records.change(self.record.migration, undecided={
            **undecided, 'since_s': undecided['since_s'] - for_s})

    def test_what_waits_is_locked_once_that_lasts(self):
        self.wait_for_destination()
        self.wait_for_destination(recovering.LOCK_AFTER_S)
        self.hands.lock.assert_not_called()
        self.wait_for_destination()
        self.hands.lock.assert_called_once()
        self.assertEqual('the destination does not answer', self.hands.lock.call_args.args[1])

    def test_so_is_what_fails_again_and_again(self):
        """The server's owner, who sees the lock, does not see what failed."""
        self.hands.roll_back.side_effect = RuntimeError('no neutron at 10.0.0.1')
        self.wait_for_destination(recovering.LOCK_AFTER_S)
        self.world.destination.return_value = Destination.ABSENT
        self.look()
        self.assertEqual('the last step failed', self.hands.lock.call_args.args[1])
        self.assertIn('no neutron at 10.0.0.1', self.now().undecided['reason'])

    def test_so_is_what_cannot_be_written_down(self):
        full = exception.RecordNotKept(self.record.migration, 'Read-only file system')
        self.useFixture(fixtures.MockPatchObject(self.records, 'change', side_effect=full))
        self.look()
        self.hands.lock.assert_not_called()
        self.recovery._undecided_s[self.record.migration] -= recovering.LOCK_AFTER_S
        self.look()
        self.assertEqual('the last step failed', self.hands.lock.call_args.args[1])

    def test_what_is_decided_is_unlocked(self):
        self.wait_for_destination(recovering.LOCK_AFTER_S)
        self.wait_for_destination()
        self.world.destination.return_value = Destination.ABSENT
        self.look()
        self.hands.unlock.assert_called_once()
        self.assertIsNone(self.now())

    def test_what_is_watched_again_is_unlocked_before(self):
        self.wait_for_destination(recovering.LOCK_AFTER_S)
        self.wait_for_destination()
        self.world.source.return_value = (Source.RUNNING, True)

        def watch(record):
            self.hands.unlock.assert_called_once()
            self.world.source.return_value = (Source.RUNNING, False)
            self.nova = OVER

        self.world.watch.side_effect = watch
        self.look()
        self.world.watch.assert_called_once()

    def test_a_lock_that_fails_changes_nothing(self):
        self.hands.lock.side_effect = RuntimeError('no database')
        self.wait_for_destination(recovering.LOCK_AFTER_S)
        self.wait_for_destination()
        self.assertEqual('the destination does not answer', self.now().undecided['reason'])
        self.assertIn('It is not locked', self.log.output)

    def test_a_job_that_runs_is_watched_and_the_end_is_looked_at_again(self):
        self.world.source.return_value = (Source.RUNNING, True)

        def watch(record):
            self.world.source.return_value = (Source.RUNNING, False)
            self.nova = OVER

        self.world.watch.side_effect = watch
        self.look()
        self.world.watch.assert_called_once()
        self.assertIsNone(self.now())

    def test_a_thread_that_cannot_be_started_leaves_it_to_the_next_look(self):
        with fixtures.MockPatchObject(threading.Thread, 'start', side_effect=RuntimeError('none')):
            self.recovery.look_around()
        self.assertIn('at the next look: none', self.log.output)
        self.look()
        self.assertIsNone(self.now())

    def test_a_look_that_fails_is_not_the_last(self):
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.compute.recovering.LOOK_EVERY_S', 0.01))
        again = threading.Event()
        self.world.is_watched.side_effect = [RuntimeError('a bug'), False]
        self.hands.unlock.side_effect = lambda record: again.set()
        self.recovery.start()
        self.addCleanup(self.recovery.stop)
        self.assertTrue(again.wait(LONG_S))

    def test_nothing_begins_after_the_stop(self):
        self.recovery.stop()
        self.recovery.owe(self.record, lambda: self.paid.append(1))
        self.look()
        self.assertEqual(([], []), (self.hands.method_calls, self.paid))
        self.assertEqual(self.record, self.now())


class TestSuperseded(RecoveryCase):

    def test_nothing_is_done_while_a_newer_migration_is_under_way(self):
        self.nova = (*UNDER_WAY, True)
        self.look()
        self.assertEqual([], self.hands.method_calls)
        self.assertIn('a newer live migration', self.now().undecided['reason'])
        self.nova = UNDER_WAY
        self.look()
        self.hands.roll_back.assert_called_once()

    def test_nor_is_the_server_locked_for_so_long(self):
        """The newer one may run for hours, and its server's users act on it afterwards."""
        self.nova = (*UNDER_WAY, True)
        self.look()
        undecided = self.now().undecided
        self.records.change(self.record.migration, undecided={
            **undecided, 'since_s': undecided['since_s'] - recovering.LOCK_AFTER_S})
        self.look()
        self.hands.lock.assert_not_called()

    def test_nor_while_what_is_written_down_of_a_newer_one_is_not_done(self):
        """Nova has given both up; the newer one has brought the guest to its own destination."""
        newer = cases.a_record(migration=cases.OTHER, destination='another',
                               started_s=self.record.started_s + 60.0, undecided=None, tries=0)
        self.records.keep(newer)
        self.records.change(self.record.migration, written=evidence.Written.ROLLING_BACK)
        self.nova = hands_mod.Known(Home.SOURCE, Status.GIVEN_UP, False, False)
        self.world.source.return_value = (Source.PAUSED, False)
        self.world.destination.side_effect = lambda context, host, server: (
            Destination.ARRIVED if host == 'another' else Destination.ABSENT)
        self.hands.remove_source_copy.side_effect = RuntimeError('libvirt holds on to it')
        self.look()
        self.hands.let_run.assert_not_called()
        self.assertEqual('a newer live migration of the server is under way',
                         self.now().undecided['reason'])
        self.records.change(newer.migration, written=evidence.Written.DONE)
        self.look()
        self.look()
        self.hands.roll_back.assert_called()


class TestStale(RecoveryCase):
    """What was seen of a host is not acted on once the rest has taken too long."""

    def frozen(self, times):
        """Let this process be frozen while the destination answers, and it arrive there then."""
        def ask(context, host, server):
            nonlocal times
            times -= 1
            if times >= 0:
                self.now_s += plan.FRESH_S + 1.0
                return Destination.ABSENT
            return Destination.ARRIVED

        self.world.source.return_value = (Source.PAUSED, False)
        self.world.destination.side_effect = ask

    def test_what_took_too_long_is_asked_again(self):
        self.frozen(1)
        seen = self.recovery.look(self.record)
        self.assertEqual((Destination.ARRIVED, Home.SOURCE), (seen.destination, seen.home))

    def test_nothing_is_done_where_it_takes_too_long_again_and_again(self):
        self.frozen(recovering.LOOKS)
        self.look()
        self.assertEqual([], self.hands.method_calls)
        self.assertEqual('wait', self.now().undecided['kind'])
        self.look()
        self.assertEqual('finish', self.hands.method_calls[-2][0])

    def test_nor_where_nova_changes_it_again_and_again(self):
        def ask(context, host, server):
            self.nova = OVER if self.nova == UNDER_WAY else UNDER_WAY
            return Destination.ABSENT

        self.world.destination.side_effect = ask
        self.look()
        self.assertEqual([], self.hands.method_calls)


class TestEnds(RecoveryCase):
    """What recovery has brought to an end says so in its timeline."""

    def ends(self):
        self.look()
        self.assertIsNone(self.now())
        return [call.args for call in self.world.end.call_args_list]

    def test_one_that_is_rolled_back(self):
        self.assertEqual([(self.record, 'failed',
                           'recovery: the guest has stayed on the source')], self.ends())

    def test_one_that_is_finished(self):
        self.world.source.return_value = (Source.ABSENT, False)
        self.world.destination.return_value = Destination.ARRIVED
        self.assertEqual([(self.record, 'completed', 'recovery: the guest has arrived')],
                         self.ends())

    def test_one_that_was_rebuilt_elsewhere(self):
        self.nova = Home.OTHER, Status.UNDER_WAY, False, False
        self.world.source.return_value = (Source.SHUT_OFF, False)
        [(_, outcome, reason)] = self.ends()
        self.assertEqual('failed', outcome)
        self.assertIn('rebuilt on another host', reason)

    def test_not_before_nova_has_it(self):
        self.hands.roll_back.side_effect = RuntimeError('no bus')
        self.look()
        self.world.end.assert_not_called()


class TestResume(RecoveryCase):
    """A post-copy that broke off, on both hosts."""

    def setUp(self):
        super().setUp()
        self.world.source.return_value = (Source.POST_COPY_FAILED, True)
        self.world.destination.return_value = Destination.POST_COPY_FAILED
        self.world.resume_post_copy.side_effect = lambda record: self.rests_s.pop(0)
        self.waited_s = []
        self.patch_wait(lambda seconds: self.waited_s.append(seconds) or False)

    def patch_wait(self, wait):
        self.useFixture(fixtures.MockPatchObject(self.recovery._stopped, 'wait', wait))

    def test_it_is_tried_again_after_the_pause_that_is_told(self):
        self.rests_s = [2.0, 4.0, 8.0, 16.0, 30.0]
        self.look()
        # The rest is the next look's.
        self.assertEqual(([2.0, 4.0, 8.0], [30.0]), (self.waited_s, self.rests_s))
        self.assertEqual('resume', self.now().undecided['kind'])

    def test_one_that_cannot_be_tried_waits_for_the_next_look(self):
        self.rests_s = [None, 1.0]
        self.look()
        self.assertEqual(([], [1.0]), (self.waited_s, self.rests_s))

    def test_once_it_is_whole_the_migration_is_finished(self):
        def whole(record):
            self.world.source.return_value = (Source.ABSENT, False)
            self.world.destination.return_value = Destination.ARRIVED
            return 0.0

        self.world.resume_post_copy.side_effect = whole
        self.look()
        self.hands.finish.assert_called_once()
        self.assertIsNone(self.now())

    def test_nothing_is_tried_any_more_after_the_stop(self):
        self.rests_s = [2.0]
        self.patch_wait(lambda seconds: True)
        self.look()
        self.assertEqual([], self.rests_s)


class TestOwed(RecoveryCase):

    def owe(self):
        self.recovery.owe(self.record, lambda: self.paid.append(self.now()))
        self.wait()

    def test_it_is_paid_once_when_nothing_is_left(self):
        self.owe()
        self.look()
        self.assertEqual([None], self.paid)

    def test_not_before(self):
        self.world.destination.return_value = Destination.SILENT
        self.owe()
        self.assertEqual([], self.paid)
        self.world.destination.return_value = Destination.ABSENT
        self.look()
        self.assertEqual([None], self.paid)

    def test_also_where_the_record_has_just_gone(self):
        self.records.drop(self.record.migration)
        self.owe()
        self.assertEqual([None], self.paid)

    def test_also_where_another_thread_was_at_the_end_of_it(self):
        """It has taken it up before the start is owed, and asks for what is owed afterwards."""
        at_end, owed = threading.Event(), threading.Event()

        def unlock(record):
            at_end.set()
            self.assertTrue(owed.wait(LONG_S))

        self.hands.unlock.side_effect = unlock
        self.recovery.look_around()
        self.assertTrue(at_end.wait(LONG_S))
        self.recovery.owe(self.record, lambda: self.paid.append(self.now()))
        owed.set()
        self.wait()
        self.assertEqual([None], self.paid)

    def test_not_while_another_migration_of_the_server_is_open(self):
        other = cases.a_record(migration=cases.OTHER, undecided=None, started_s=1.0)
        self.records.keep(other)
        self.assertEqual(self.record, self.recovery.open_of(self.record.server))
        self.owe()
        self.assertEqual([], self.paid)
        self.look()
        self.assertEqual([None], self.paid)

    def test_what_fails_is_logged(self):
        def fail():
            raise RuntimeError('no database')

        self.recovery.owe(self.record, fail)
        self.wait()
        self.assertIn('no database', self.log.output)
