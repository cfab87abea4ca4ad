# SPDX-License-Identifier: Apache-2.0
"""The slots of hosts that talk: who has both, what is lost, who is gone, and who knows none."""

from __future__ import annotations

import collections
import threading
import time

import fixtures
import testtools

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import slots as slots_mod
from nova_migpolicy import exception
from nova_migpolicy import vocabulary
from tests.unit.compute import hosts

Limits = limits_mod.Limits
want = hosts.want


class TestBoth(hosts.HostsCase):

    def test_both_slots_are_had_at_once_where_both_hosts_have_room(self):
        self.ask('n1', want(1))
        self.assertEqual((['m1'], [1], 1), (self.woken, self.with_both('n1', 1), self.used_at()))
        self.assertIsNone(self.bus.hosts['n1'].wait('m1'))

    def test_neither_host_has_more_than_its_limit(self):
        self.ask('n1', want(1), want(2), want(3, destination='n3'))
        self.ask('n3', want(4))
        self.assertEqual(['m1', 'm2'], self.woken)
        self.assertEqual(2, self.used_at())
        self.assertIn('for an outgoing slot on n1 (2 of 2 used by db-1 and db-2)',
                      self.bus.hosts['n1'].wait('m3').sentence)
        self.assertIn('for an incoming slot on n2 (2 of 2 used by db-1 and db-2)',
                      self.bus.hosts['n3'].wait('m4').sentence)

    def test_the_end_of_one_wakes_another(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(4))
        self.bus.hosts['n1'].end('m2')
        self.deliver()
        self.assertEqual(['m1', 'm2', 'm4'], self.woken)
        # A second end, and that of an unknown one, do no harm.
        for migration in ('m2', 'mX'):
            self.bus.hosts['n1'].end(migration)
        self.deliver()
        self.assertEqual(([1], [4], 2), (
            self.with_both('n1', 1, 2), self.with_both('n3', 4), self.used_at()))

    def test_one_that_is_ended_while_it_waits_is_woken_by_nothing(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(4))
        self.bus.hosts['n3'].end('m4')
        self.deliver()
        self.bus.hosts['n1'].end('m1')
        self.deliver()
        self.wait(20)
        self.assertEqual((['m1', 'm2'], 1), (self.woken, self.used_at()))
        self.assertEqual([], self.with_both('n3', 4))

    def test_one_that_is_ended_while_it_is_granted_gives_both_back(self):
        self.bus.hosts['n1'].ask(want(1), lambda: self.woken.append('m1'))
        # The answer is on its way.
        while not self.bus.hosts['n2']._incoming.holders():
            host = next(one for one in self.bus.hosts.values() if one._post.waiting)
            host._post.send(*host._post.waiting.pop(0))
        self.bus.hosts['n1'].end('m1')
        self.deliver()
        self.assertEqual(([], 0), (self.woken, self.used_at()))

    def test_whoever_is_woken_asks_again_without_harm(self):
        self.ask('n1', want(1))
        self.ask('n1', want(1))
        self.assertEqual((1, ['m1']), (self.used_at(), self.woken))


class TestTime(hosts.HostsCase):

    def test_a_lost_message_is_said_again(self):
        self.bus.wrong['n2'] = hosts.silent()
        self.ask('n1', want(1))
        del self.bus.wrong['n2']
        self.wait(limits_mod.POLL_S)
        self.assertEqual(['m1'], self.woken)

    def test_a_lease_is_renewed_and_tells_how_far_it_is(self):
        self.courses['m1'] = slots_mod.Course('bulk copy', 90.0)
        self.ask('n1', want(1))
        self.wait(5 * limits_mod.LEASE_S)
        [ticket] = self.bus.hosts['n2']._incoming.holders()
        self.assertEqual('bulk copy', ticket.phase)
        self.assertTrue(75.0 <= ticket.ends_s - self.now_s <= 90.0)

    def test_it_is_renewed_whatever_is_not_known_of_it(self):
        for known in (RuntimeError('a bug'), slots_mod.Course('passes', float('inf')),
                      slots_mod.Course('passes', float('nan')), slots_mod.Course('passes', 1e9),
                      slots_mod.Course('passes', -1.0)):
            self.courses['m1'] = known
            self.ask('n1', want(1))
            self.wait(2 * limits_mod.LEASE_S)
            self.assertEqual(1, self.used_at(), known)

    def test_the_slots_of_a_source_that_died_go_with_their_lease(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(4))
        self.wait(limits_mod.LEASE_S + 1.0, of=('n2', 'n3'))
        self.assertEqual(['m1', 'm2', 'm4'], self.woken)

    def test_they_stay_while_nobody_is_heard_of(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(4))
        self.bus.is_up = False
        self.wait(300)
        self.assertEqual((2, ['m1', 'm2']), (self.used_at(), self.woken))
        self.assertIn('bus does not work', self.log.output)
        # The sources need some time, too, to find the bus again.
        self.bus.is_up = True
        self.wait(limits_mod.LEASE_S - slots_mod.LOOK_S - 2, of=['n2'])
        self.assertEqual(2, self.used_at())
        self.wait(60)
        self.assertEqual((2, ['m1', 'm2']), (self.used_at(), self.woken))
        self.assertIn('bus works again', self.log.output)

    def test_they_stay_where_the_destination_was_stopped(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(4))
        host = self.bus.hosts['n2']
        # Whichever thread comes first, and what the others say has still to be read.
        for first in (host.wake, lambda: host.reserve('m9', 'db-9', 1.0),
                      lambda: self.wait(limits_mod.POLL_S, of=['n3']),
                      lambda: host.set_limits(host.limits)):
            self.now_s += 100
            first()
            self.assertEqual((2, ['m1', 'm2']), (self.used_at(), self.woken))
        self.assertIn('was stopped for a while', self.log.output)
        # But not if nothing comes then.
        self.wait(limits_mod.LEASE_S + 2, of=['n2', 'n3'])
        self.assertEqual((1, ['m1', 'm2', 'm4']), (self.used_at(), self.woken))

    def test_a_destination_that_hears_nothing_after_its_start_gives_nothing(self):
        self.ask('n1', want(1), want(2))
        self.begin('n2')
        self.ask('n3', want(4))
        self.bus.is_up = False
        self.wait(100)
        self.bus.is_up = True
        self.wait(60)
        self.assertEqual((2, ['m1', 'm2']), (self.used_at(), self.woken))

    def test_a_destination_learns_after_its_start_what_comes_to_it(self):
        self.ask('n1', want(1), want(2))
        self.begin('n2')
        self.ask('n3', want(4))
        self.assertIn('until n2, which has just started, knows what comes to it',
                      self.bus.hosts['n3'].wait('m4').sentence)
        self.wait(2 * limits_mod.LEASE_S)
        self.assertEqual((2, []), (self.used_at(), self.with_both('n3', 4)))
        self.bus.hosts['n1'].end('m1')
        self.deliver()
        self.assertEqual([4], self.with_both('n3', 4))

    def test_what_flows_is_adopted_by_the_next_process_of_its_source(self):
        self.ask('n1', want(1), want(2))
        self.begin('n1').adopt(want(1))
        self.deliver()
        self.wait(limits_mod.LEASE_S + 1.0)
        self.assertEqual(([1], 1), (self.with_both('n1', 1, 2), self.used_at()))
        # Nobody waits for it, and it is not woken.
        self.assertEqual(['m1', 'm2'], self.woken)

    def test_how_long_nothing_was_heard(self):
        self.bus.wrong['n2'] = hosts.silent()
        self.ask('n1', want(1))
        source = self.bus.hosts['n1']
        self.wait(25)
        self.assertEqual(25.0, source.silent_s('m1'))
        del self.bus.wrong['n2']
        self.wait(10)
        self.assertEqual((0.0, 0.0), (source.silent_s('m1'), source.silent_s('unknown')))
        self.assertEqual({}, source._heard_s)

    def test_a_silent_destination_is_what_it_waits_for(self):
        self.ask('n3', want(8), want(9))
        self.ask('n1', want(1))
        self.bus.wrong['n2'] = hosts.silent()
        self.wait(slots_mod.SILENT_S - 1)
        self.assertIn('for an incoming slot on n2', self.bus.hosts['n1'].wait('m1').sentence)
        self.wait(limits_mod.POLL_S)
        self.assertEqual('for the answer of n2; n2 did not answer',
                         self.bus.hosts['n1'].wait('m1').sentence)
        del self.bus.wrong['n2']
        self.wait(limits_mod.POLL_S)
        self.assertIn('for an incoming slot on n2', self.bus.hosts['n1'].wait('m1').sentence)

    def test_nothing_has_to_be_heard_while_it_waits_for_its_own_host(self):
        self.ask('n1', want(1), want(2))
        self.bus.wrong['n2'] = hosts.silent()
        self.ask('n1', want(3))
        source = self.bus.hosts['n1']
        self.wait(200)
        self.assertEqual(0.0, source.silent_s('m3'))
        source.end('m1')
        self.wait(15)
        self.assertEqual(15.0, source.silent_s('m3'))

    def test_a_silent_host_is_told_of_once_until_it_answers(self):
        for times in (1, 2):
            self.bus.wrong['n2'] = hosts.silent()
            self.ask('n1', want(times))
            self.wait(50)
            self.assertEqual(times, self.log.output.count('n2 did not answer'))
            del self.bus.wrong['n2']
            self.wait(10)


class TestLimits(hosts.HostsCase):

    def test_lower_ones_take_nothing_from_who_has_a_slot(self):
        self.ask('n1', want(1), want(2))
        for name in ('n1', 'n2'):
            self.bus.hosts[name].set_limits(Limits(1, 1))
        self.ask('n1', want(3))
        self.wait(2 * limits_mod.LEASE_S)
        self.assertEqual(([1, 2], 2), (self.with_both('n1', 1, 2, 3), self.used_at()))
        for migration, expected in (('m1', [2]), ('m2', [3])):
            self.bus.hosts['n1'].end(migration)
            self.deliver()
            self.wait(limits_mod.POLL_S)
            self.assertEqual(expected, self.with_both('n1', 1, 2, 3))

    def test_higher_ones_and_none_wake_who_waits(self):
        self.ask('n1', want(1), want(2), want(3))
        self.bus.hosts['n2'].set_limits(Limits(2, 0))
        self.bus.hosts['n1'].set_limits(Limits(0, 2))
        self.deliver()
        self.assertEqual(['m1', 'm2', 'm3'], self.woken)
        self.assertEqual(Limits(0, 2), self.bus.hosts['n1'].limits)


class TestWithout(hosts.HostsCase):
    """A host that knows no slots has room."""

    def test_it_has_room_beside_the_limit_of_the_source(self):
        self.bus.wrong['n2'] = hosts.no_slots()
        self.ask('n1', want(1), want(2), want(3))
        self.assertEqual(['m1', 'm2'], self.woken)
        self.bus.hosts['n1'].end('m1')
        self.assertEqual(['m1', 'm2', 'm3'], self.woken)

    def test_it_is_told_all_the_same_but_that_is_said_once(self):
        self.bus.wrong['n2'] = hosts.no_slots()
        for number in (1, 2, 3):
            self.ask('n1', want(number))
            self.wait(20)
            self.bus.hosts['n1'].end(f'm{number}')
        self.assertGreaterEqual(len(self.bus.asked), 9)
        self.assertEqual(1, self.log.output.count('knows no slots'))

    def test_it_counts_what_flows_as_soon_as_it_knows_slots(self):
        self.bus.wrong['n2'] = hosts.no_slots()
        self.ask('n1', want(1))
        self.assertEqual((['m1'], 0), (self.woken, self.used_at()))
        del self.bus.wrong['n2']
        self.wait(limits_mod.HOLD_S)
        self.assertEqual(1, self.used_at())

    def test_one_that_may_only_be_busy_does_not_count_as_one(self):
        self.begin('n2', into=1)
        self.wait(hosts.BEGIN_S)
        self.ask('n3', want(9))
        self.bus.wrong['n2'] = hosts.no_plugin()
        self.ask('n1', want(1))
        self.wait(slots_mod.SEEMS_S - 1)
        del self.bus.wrong['n2']
        self.wait(limits_mod.POLL_S)
        self.assertEqual((['m9'], set()), (self.woken, self.bus.hosts['n1']._without))
        # Nor one that has seemed so long ago.
        self.bus.hosts['n1'].end('m1')
        self.now_s += slots_mod.SPOKE_S
        self.bus.wrong['n2'] = hosts.no_plugin()
        self.ask('n1', want(2))
        self.assertEqual(['m9'], self.woken)

    def test_one_that_seems_so_for_a_while_does(self):
        self.bus.wrong['n2'] = hosts.no_plugin()
        self.ask('n1', want(1))
        self.assertEqual([], self.woken)
        self.wait(limits_mod.POLL_S)
        self.assertEqual(['m1'], self.woken)
        # It is known from now on.
        self.ask('n1', want(2))
        self.assertEqual(['m1', 'm2'], self.woken)

    def test_one_that_loses_them_keeps_nobody_waiting(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(3))
        self.wait(slots_mod.SPOKE_S + 1.0, of=('n2',))
        self.bus.wrong['n2'] = hosts.no_slots()
        source = self.begin('n1', out=1)
        source.adopt(want(1))
        self.ask('n1', want(4))
        self.wait(1200, step_s=10)
        # It waits for its own host alone, whatever it had been told before.
        self.assertEqual(0.0, source.silent_s('m4'))
        self.assertIn('for an outgoing slot on n1', source.wait('m4').sentence)

    def test_it_counts_again_as_soon_as_it_says_something_of_slots(self):
        self.bus.wrong['n2'] = hosts.no_slots()
        self.ask('n1', want(1))
        del self.bus.wrong['n2']
        self.ask('n2', want(9, destination='n1'))
        # It has learnt what comes to it.
        self.assertEqual((['m1', 'm9'], 1), (self.woken, self.used_at()))

    def test_what_it_is_told_first_has_the_lower_number(self):
        source = self.begin('n1', out=1)
        self.ask('n1', want(1), want(2))
        # Older than the plugin there, as far as is known here.
        self.now_s += slots_mod.SPOKE_S
        self.bus.wrong['n2'] = hosts.no_slots()
        self.wait(1)
        self.assertIn('n2', source._without)
        source.receive({
            'kind_of_message': 'offer', 'source': 'n1', 'destination': 'n2', 'migration': 'm2',
            'epoch': self.bus.hosts['n2']._incoming.epoch, 'number': 99,
            'to_epoch': source._outgoing.epoch, 'answers': 0, 'offer': 9, 'lasts_s': 5.0})
        numbers = [message.number for _, message in source._post.waiting]
        self.assertEqual((3, sorted(numbers)), (len(numbers), numbers))

    def test_one_that_has_spoken_a_moment_ago_is_only_busy(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(3))
        self.bus.wrong['n2'] = hosts.no_slots()
        self.wait(20, of=('n3',))
        self.assertEqual([], self.with_both('n3', 3))
        del self.bus.wrong['n2']
        self.wait(10)
        self.assertEqual((2, []), (self.used_at(), self.with_both('n3', 3)))
        self.assertNotIn('knows no slots', self.log.output)

    def test_one_whose_plugin_was_removed_has_room_after_a_while(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(3))
        self.bus.wrong['n2'] = hosts.no_slots()
        self.wait(slots_mod.SPOKE_S + limits_mod.POLL_S, of=('n3',))
        self.assertEqual([3], self.with_both('n3', 3))

    def test_a_source_without_slots_is_not_taken_for_a_destination_without(self):
        self.ask('n1', want(1), want(2))
        self.ask('n3', want(3))
        self.wait(slots_mod.SPOKE_S + 1.0, of=('n2',))
        self.bus.wrong['n3'] = hosts.no_slots('n3')
        self.bus.hosts['n1'].end('m1')
        self.deliver()
        self.assertEqual(set(), self.bus.hosts['n2']._without)


class TestNobody(hosts.HostsCase):
    """Slots of what nobody is at work on."""

    def test_they_are_given_back_with_a_line_of_log(self):
        self.ask('n1', want(1), want(2))
        self.bus.hosts['n1'].keep_only(lambda migration: migration == 'm2')
        self.deliver()
        self.assertEqual(([2], 1), (self.with_both('n1', 1, 2), self.used_at()))
        self.assertIn('The slots of migration m1 are given back', self.log.output)

    def test_one_that_begins_meanwhile_keeps_its_place(self):
        def needs(migration):
            self.assertFalse(self.bus.hosts['n1']._changed._is_owned())
            self.ask('n1', want(2))
            return migration in seen

        self.ask('n1', want(1))
        seen = ['m1']
        self.bus.hosts['n1'].keep_only(needs)
        self.assertEqual(([1, 2], ['m1', 'm2']), (self.with_both('n1', 1, 2), self.woken))


class TestThreads(testtools.TestCase):
    """Hosts with their real threads, all of which talk at once."""

    HOSTS = ('n1', 'n2', 'n3')
    OF_EACH = 8

    def setUp(self):
        super().setUp()
        self.log = self.useFixture(fixtures.FakeLogger())
        self.ahead_s = 0.0
        self.bus = hosts.Bus()
        self.lock = threading.Lock()
        #: of each host and direction: those whose data flows, and the most at a time
        self.flowing, self.most = collections.Counter(), collections.Counter()
        for name in self.HOSTS:
            self.bus.hosts[name] = slots_mod.Slots(
                name, Limits(2, 2), self, lambda migration: slots_mod.Course('passes', 1.0),
                lambda: time.monotonic() + self.ahead_s)
        # Past the time in which they only listen.
        while self.ahead_s < hosts.BEGIN_S:
            self.ahead_s += slots_mod.LOOK_S
            for one in self.bus.hosts.values():
                one.wake()
        for one in self.bus.hosts.values():
            one.start()
            self.addCleanup(one.stop)

    def answers(self, context, host):
        """Whether a host answers itself."""
        return True

    def ask(self, context, host, method, **arguments):
        """Carry a message, as the channel would."""
        for message in arguments['messages']:
            self.bus.hosts[host].receive(message)

    def count(self, wanted, source, by):
        with self.lock:
            for one in ((source, 'out'), (wanted.destination, 'in')):
                self.flowing[one] += by
                self.most[one] = max(self.most[one], self.flowing[one])

    def migrate(self, source, wanted, done):
        own, has_both = self.bus.hosts[source], threading.Event()
        own.ask(wanted, has_both.set)
        if has_both.wait(hosts.LONG_S) and own.has_both(wanted.migration):
            self.count(wanted, source, 1)
            own.wait(wanted.migration)
            self.count(wanted, source, -1)
            done.append(wanted.migration)
        own.end(wanted.migration)

    def test_all_have_their_turn_and_no_host_has_too_many(self):
        done, threads = [], []
        for number in range(self.OF_EACH):
            for source in self.HOSTS:
                destination = self.HOSTS[(self.HOSTS.index(source) + 1 + number % 2) % 3]
                wanted = slots_mod.Want(f'{source}-{number}', 's', destination)
                threads.append(threading.Thread(
                    target=self.migrate, args=(source, wanted, done)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * hosts.LONG_S)
        self.assertEqual(3 * self.OF_EACH, len(done))
        self.assertEqual(set(), {one for one, most in self.most.items() if most > 2})
        self.assertEqual('', self.log.output)


class TestNonsense(hosts.HostsCase):

    def test_what_is_no_message_is_refused(self):
        self.assertRaises(exception.BadMessage, self.bus.hosts['n1'].receive, {'kind': 'ask'})

    def test_what_is_for_another_host_is_told_and_changes_nothing(self):
        message = {'kind_of_message': 'release', 'source': 'n3', 'destination': 'n9',
                   'migration': 'm', 'epoch': 1, 'number': 1}
        self.bus.hosts['n2'].receive(message)
        self.assertIn('a message for n9 has come to n2', self.log.output)

    def test_a_host_that_refuses_is_told_of(self):
        self.bus.wrong['n2'] = client.Refused(protocol.BAD_REQUEST, 'no such form')
        self.ask('n1', want(1))
        self.assertIn('no such form', self.log.output)
        self.assertEqual([], self.woken)
        self.assertIn('for the answer of n2; it has refused what it was told: no such form',
                      self.bus.hosts['n1'].wait('m1').sentence)

    def test_a_refusal_is_what_it_waits_for(self):
        self.bus.hosts['n1'].ask(want(1), lambda: None)
        _, message = self.bus.hosts['n1']._post.waiting.pop()
        self.bus.hosts['n1'].receive({
            'kind_of_message': 'refused', 'source': 'n1', 'destination': 'n2', 'migration': 'm1',
            'epoch': 100, 'number': 1, 'to_epoch': message.epoch, 'answers': message.number,
            'reason': 'it is odd'})
        wait = self.bus.hosts['n1'].wait('m1')
        self.assertEqual(vocabulary.AN_ANSWER, wait.kind)
        self.assertIn('it is odd', wait.sentence)


class TestThread(hosts.HostsCase):
    """The thread that looks after them."""

    def setUp(self):
        super().setUp()
        self.tested = self.bus.hosts['n1']
        self.addCleanup(self.tested.stop)
        self.useFixture(fixtures.MonkeyPatch(
            'nova_migpolicy.compute.slots.AGAIN_S', 0.001))

    def start(self, fault=lambda: None):
        """Start it; something is due at once, and again after the first two wakes.

        :param fault: called in each of these
        :returns: an event that the third sets, and the threads in which they were
        """
        calls, third, wake = [], threading.Event(), self.tested.wake

        def called():
            calls.append(threading.current_thread())
            wake()
            if len(calls) < 3:
                self.now_s += 100
            else:
                third.set()
            fault()

        # It is asked for again and again.
        self.tested.ask(want(1), lambda: None)
        self.now_s += 100
        self.tested.wake = called
        self.tested.start()
        return third, calls

    def test_it_wakes_them_when_they_are_due_and_ends_when_it_is_told(self):
        third, calls = self.start()
        self.assertTrue(third.wait(hosts.LONG_S))
        self.tested.stop()
        calls[0].join(hosts.LONG_S)
        self.assertFalse(calls[0].is_alive())

    def test_no_error_ends_it(self):
        def fail():
            raise RuntimeError('a bug')

        third, _ = self.start(fail)
        self.assertTrue(third.wait(hosts.LONG_S))
        self.assertIn('a bug', self.log.output)

    def test_nor_one_while_it_waits(self):
        machines, tried = self.tested._machines, threading.Event()

        def fail():
            self.tested._machines = machines
            tried.set()
            raise RuntimeError('a bug')

        self.tested._machines = fail
        third, _ = self.start()
        self.assertTrue(tried.wait(hosts.LONG_S))
        self.assertTrue(third.wait(hosts.LONG_S))
