# SPDX-License-Identifier: Apache-2.0
"""When the connection of a switchover that hangs is closed, and when never."""

from __future__ import annotations

import libvirt
import testtools

from nova_migpolicy.engine import remedies
from nova_migpolicy import exception
from nova_migpolicy.monitor import guest as guest_mod
from nova_migpolicy.monitor import hung
from nova_migpolicy.monitor import journal as journal_mod
from tests.unit.monitor import fakes

POST_COPY = (libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_POSTCOPY)
CLOSED = '10.0.0.1:40000 to 10.0.0.2:49152 (2345760 bytes unsent)'


class Outside:
    """The other way to a QEMU whose domain is in some state."""

    def __init__(self, state=hung.STOPPED, *answers):
        self.at = state
        self.answers = list(answers)
        self.closed = []

    def state(self):
        return self.at

    def close(self, targets):
        self.closed.append(targets)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class HungTest(testtools.TestCase):

    def hang(self, seconds, outside, wanted='cancelled through the API', promised_s=0.3,
             has_grace=True, switched=True, is_abort=True, call='jobStats'):
        """Let libvirt be silent for some seconds of a switchover, and look each 5 s meanwhile."""
        clock = fakes.Clock()
        start_s = clock()
        now = hung.Switchover(
            start_s, promised_s, wanted, is_abort, has_grace) if switched else None

        def silence():
            while clock() < start_s + seconds:
                watch.look()
                clock.sleep(5.0)
            watch.look()
            return {}
        migrating = guest_mod.MigratingGuest(fakes.Domain(**{call: silence}), clock=clock)
        self.journal = journal_mod.Journal(None, clock(), 0)
        watch = hung.Hung(migrating, self.journal, clock, outside,
                          lambda: ('tcp://10.0.0.2',), lambda: now, lambda: None)
        watch.look()
        if call == 'jobStats':
            migrating.job_stats()
        else:
            migrating.apply(remedies.StartPostCopy())
        watch.look()
        return watch

    def events(self):
        return [one['text'] for one in self.journal.records()]

    def test_calls_that_end_for_want_of_a_lock_are_no_answers(self):
        clock = fakes.Clock()
        start_s = clock()
        outside = Outside(hung.STOPPED, ([CLOSED], ''))
        now = hung.Switchover(start_s, 2.0, 'cancelled through the API', True, True)

        def timed_out():
            clock.sleep(30.0)
            raise fakes.error(libvirt.VIR_ERR_OPERATION_TIMEOUT, 'cannot acquire a lock')
        domain = fakes.Domain(jobStats=timed_out)
        migrating = guest_mod.MigratingGuest(domain, clock=clock)
        watch = hung.Hung(migrating, journal_mod.Journal(None, clock(), 0), clock, outside,
                          lambda: ('tcp://10.0.0.2',), lambda: now, lambda: None)
        self.assertRaises(exception.GuestError, migrating.job_stats)
        watch.look()
        self.assertEqual([], outside.closed)
        self.assertRaises(exception.GuestError, migrating.job_stats)
        watch.look()
        self.assertEqual(1, len(outside.closed))
        self.assertIn('has not answered jobStats for 60 s', watch.reason)
        # One that is answered, though with an error, begins anew.
        domain.answers['jobStats'] = fakes.error(libvirt.VIR_ERR_OPERATION_INVALID)
        migrating.job_stats()
        clock.sleep(100.0)
        watch.look()
        self.assertEqual(1, len(outside.closed))

    def test_for_a_cancel(self):
        outside = Outside(hung.STOPPED, ([CLOSED], ''))
        watch = self.hang(10.0, outside)
        self.assertEqual([('tcp://10.0.0.2',)], outside.closed)
        self.assertEqual(
            'cancelled through the API; the guest has been standing still in its switchover for '
            '10 s, and libvirt has not answered jobStats for 10 s, so the connection of QEMU to '
            'the destination was closed', watch.reason)
        self.assertEqual([f'{watch.reason}: {CLOSED}'], self.events())

    def test_not_before_many_times_the_promise(self):
        for promised_s, seconds in ((0.3, 9.9), (5.0, 99.0)):
            outside = Outside(hung.STOPPED, ([CLOSED], ''))
            self.assertIsNone(self.hang(seconds - 5, outside, promised_s=promised_s).reason)
            self.assertEqual([], outside.closed)
            self.hang(seconds + 5, outside, promised_s=promised_s)
            self.assertEqual(1, len(outside.closed))

    def test_where_nobody_wants_it_after_a_grace(self):
        outside = Outside(hung.STOPPED, ([CLOSED], ''))
        self.hang(115.0, outside, wanted=None)
        self.assertEqual([], outside.closed)
        self.assertIn('Nothing else ends it', self.hang(120.0, outside, wanted=None).reason)
        outside = Outside(hung.STOPPED, ([CLOSED], ''))
        self.hang(500.0, outside, wanted=None, has_grace=False)
        self.assertEqual([], outside.closed)

    def test_never_in_post_copy_nor_where_libvirt_does_not_say(self):
        for state in (POST_COPY, None, (libvirt.VIR_DOMAIN_SHUTOFF, 0)):
            outside = Outside(state, ([CLOSED], ''))
            self.assertIsNone(self.hang(500.0, outside).reason)
            self.assertEqual([], outside.closed)

    def test_never_where_post_copy_may_have_begun(self):
        for state in (hung.STOPPED, fakes.RUNNING):
            outside = Outside(state, ([CLOSED], ''))
            self.hang(500.0, outside, call=guest_mod.START_POST_COPY)
            self.assertEqual([], outside.closed)

    def test_of_a_guest_that_is_said_to_run_only_for_an_abort(self):
        outside = Outside(fakes.RUNNING, ([CLOSED], ''))
        self.assertEqual(
            'cancelled through the API; libvirt has not answered jobStats for 10 s, so the '
            'connection of QEMU to the destination was closed', self.hang(10.0, outside).reason)
        for more in ({'wanted': None}, {'is_abort': False}):
            outside = Outside(fakes.RUNNING, ([CLOSED], ''))
            self.assertIsNone(self.hang(500.0, outside, **more).reason)
            self.assertEqual([], outside.closed)

    def test_a_switchover_that_the_monitor_has_not_seen_yet(self):
        clock = fakes.Clock()
        start_s = clock()
        outside = Outside(hung.STOPPED, ([CLOSED], ''))
        now = hung.Switchover(None, 0.3, 'cancelled through the API', True, True)

        def silence():
            clock.sleep(10.0)
            watch.look()
            return {}
        migrating = guest_mod.MigratingGuest(fakes.Domain(jobStats=silence), clock=clock)
        watch = hung.Hung(migrating, journal_mod.Journal(None, start_s, 0), clock, outside,
                          lambda: ('tcp://10.0.0.2',), lambda: now, lambda: None)
        migrating.job_stats()
        self.assertEqual(1, len(outside.closed))
        self.assertIn('in its switchover for 10 s', watch.reason)

    def test_never_before_the_switchover(self):
        outside = Outside(hung.STOPPED, ([CLOSED], ''))
        self.hang(500.0, outside, switched=False)
        self.assertEqual([], outside.closed)

    def abort(self, state):
        """Let an abort that libvirt has taken come to no end; look each 5 s for a minute."""
        clock = fakes.Clock()
        start_s = clock()
        outside = Outside(state, ([CLOSED], ''))
        watch = hung.Hung(
            guest_mod.MigratingGuest(fakes.Domain(), clock=clock),
            journal_mod.Journal(None, start_s, 0),
            clock, outside, lambda: ('tcp://10.0.0.2',), lambda: None,
            lambda: hung.Aborted(
                start_s, 'cancelled through the API; libvirt took the abort'))
        while clock() < start_s + 55 and not outside.closed:
            watch.look()
            clock.sleep(5.0)
        return watch, outside.closed

    def test_for_an_abort_that_comes_to_no_end(self):
        for state in (fakes.RUNNING, hung.STOPPED):
            watch, closed = self.abort(state)
            self.assertEqual(1, len(closed))
            self.assertEqual(
                'cancelled through the API; libvirt took the abort 30 s ago, and the migration is '
                'not over, so the connection of QEMU to the destination was closed', watch.reason)
        for state in (POST_COPY, None):
            watch, closed = self.abort(state)
            self.assertEqual((None, []), (watch.reason, closed))

    def test_a_migration_that_had_failed_before_is_not_cancelled_by_it(self):
        watch = self.hang(10.0, Outside(hung.STOPPED, ([CLOSED], '')), wanted=hung.CALL_FAILED)
        self.assertIsNone(watch.reason)
        [said] = self.events()
        self.assertThat(said, testtools.matchers.StartsWith(hung.CALL_FAILED))
        self.assertIn(CLOSED, said)

    def test_that_nothing_holds_unsent_data_is_said(self):
        self.hang(80.0, Outside(hung.STOPPED, ([], '')))
        [said] = self.events()
        self.assertIn('it has none that holds unsent data', said)

    def test_what_cannot_be_done_is_said_once_and_tried_again(self):
        outside = Outside(hung.STOPPED, ([], 'no ss'), ([], 'no ss'), ([CLOSED], ''))
        watch = self.hang(80.0, outside)
        self.assertGreater(len(outside.closed), 2)
        self.assertEqual(2, len(self.events()))
        self.assertIn('cannot be closed: no ss', self.events()[0])
        self.assertIn('was closed', watch.reason)
