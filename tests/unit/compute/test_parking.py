# SPDX-License-Identifier: Apache-2.0
"""A migration that waits for its slots: what wakes it, what it tells, and what ends it."""

from __future__ import annotations

import threading

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.channel import client
from nova_migpolicy.channel import protocol
from nova_migpolicy.compute import migration as migration_mod
from nova_migpolicy.compute import parking
from nova_migpolicy.monitor import commands
from nova_migpolicy.monitor import inbox as inbox_mod
from nova_migpolicy import vocabulary
from tests.unit.compute import hosts
from tests.unit.compute import sessions

want = hosts.want


class Stir(threading.Event):
    """Nobody sleeps on it: what happens in each wait is the next step of a test."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        #: how long each wait would have been, and whether it was woken before
        self.waits = []

    def wait(self, timeout=None):
        self.steps.pop(0)()
        self.waits.append((timeout, self.is_set()))
        return self.is_set()


class ParkingCase(hosts.HostsCase):
    """n1 is the source; both slots of n2 are taken."""

    def setUp(self):
        super().setUp()
        self.ask('n3', want(8), want(9))
        self.slots = self.bus.hosts['n1']
        self.obstacles = []
        self.current = migration_mod.Migration('m1', inbox_mod.Inbox(lambda: self.now_s))
        self.looks = []

    def obstacle(self, current):
        self.looks.append(self.slots.has_both('m1'))
        if self.obstacles:
            return self.obstacles[0]
        return commands.CANCELLED if current.is_ordered(vocabulary.CANCEL) else None

    def park(self, *steps, wanted=None):
        """Let it wait, with these steps instead of each sleep; return what ends it."""
        self.current.stir = Stir(list(steps))
        found = parking.Parking(self.slots, self.current, self.obstacle).wait(wanted or want(1))
        self.assertEqual([], self.current.stir.steps)
        self.assertIsNone(self.current.parked())
        self.deliver()
        return found

    def end_another(self):
        self.bus.hosts['n3'].end('m8')
        self.deliver()

    def pass_by(self, seconds=10.0):
        self.wait(seconds)

    def with_session(self):
        """Give it a session, whose timeline is kept."""
        made = self.current.session = sessions.SessionCase('build').build()
        made.inbox = self.current.inbox
        made._started_s = made.inbox.clock()
        return made

    def told(self):
        return [record['text'] for record in self.current.session.journal.records()]


class TestWait(ParkingCase):

    def test_one_with_room_on_both_hosts_begins_at_once(self):
        self.end_another()
        made = self.with_session()
        self.assertIsNone(self.park(self.deliver))
        self.assertEqual([1], self.with_both('n1', 1))
        # Nothing is told of a wait that was none.
        self.assertEqual([], self.told())
        self.assertEqual('', self.log.output)
        self.assertEqual('preparing', made.view()['phase'])

    def test_the_offer_wakes_it(self):
        self.assertIsNone(self.park(self.deliver, self.end_another))
        self.assertEqual([(parking.LOOK_EVERY_S, False), (parking.LOOK_EVERY_S, True)],
                         self.current.stir.waits)
        self.assertEqual(([1], 2), (self.with_both('n1', 1), self.used_at()))

    def test_it_looks_again_where_no_news_comes(self):
        def lose():
            self.slots._stirs.clear()
            self.end_another()

        self.assertIsNone(self.park(self.deliver, lose))
        self.assertEqual((parking.LOOK_EVERY_S, False), self.current.stir.waits[-1])

    def test_without_news_it_looks_seldom(self):
        self.assertGreaterEqual(parking.LOOK_EVERY_S, 10.0)
        self.park(self.deliver, *[self.pass_by] * 6, self.end_another)
        self.assertEqual([False] * 7 + [True], [woken for _, woken in self.current.stir.waits])

    def test_one_that_had_them_before_has_them(self):
        self.slots.adopt(want(1))
        self.assertIsNone(self.park())
        self.assertEqual([1], self.with_both('n1', 1))

    def test_a_host_without_slots_has_room(self):
        self.bus.wrong['n4'] = hosts.no_slots('n4')
        self.assertIsNone(self.park(self.deliver, wanted=want(1, destination='n4')))


class TestTold(ParkingCase):

    def waits(self):
        view = self.current.session.view()
        return view['phase'], view['waits_for']

    def test_what_it_waits_for_is_in_progress_timeline_and_log(self):
        made, seen = self.with_session(), []
        self.park(self.deliver, self.pass_by, lambda: seen.append(self.waits()), self.end_another)
        sentence = '1st of 1 for an incoming slot on n2 (2 of 2 used by db-8 and db-9)'
        self.assertEqual([(vocabulary.WAITING, sentence)], seen)
        self.assertEqual([f'waiting {sentence}', 'it has its slots, after 10 s'], self.told())
        for text in self.told():
            self.assertIn(f'Migration m1: {text}', self.log.output)
        self.assertEqual((vocabulary.PREPARING, None), self.waits())
        self.assertFalse(made.is_watched)

    def test_one_without_a_session_says_so_too(self):
        """The profile nova leaves it to Nova's own monitor."""
        seen = []
        self.park(self.deliver, self.pass_by,
                  lambda: seen.append(self.current.parked().sentence), self.end_another)
        self.assertIn('for an incoming slot on n2', seen[0])
        self.assertIn('Migration m1: waiting 1st of 1 for', self.log.output)

    def test_another_reason_is_told_and_the_same_one_is_not(self):
        self.with_session()
        self.slots.set_limits(limits_mod.Limits(1, 2))

        def fill():
            self.bus.hosts['n1'].ask(want(2, destination='n3'), lambda: None)
            self.deliver()
            self.end_another()

        def empty():
            self.bus.hosts['n1'].end('m2')
            self.deliver()

        self.park(self.deliver, self.pass_by, self.pass_by, fill, self.pass_by, self.pass_by,
                  empty)
        self.assertEqual(
            ['waiting 1st of 1 for an incoming slot on n2 (2 of 2 used by db-8 and db-9)',
             'waiting for an outgoing slot on n1 (1 of 1 used by db-2)',
             'it has its slots, after 40 s'], self.told())

    def test_a_destination_that_says_nothing_is_a_reason_after_a_while(self):
        self.with_session()
        self.end_another()
        self.bus.wrong['n2'] = hosts.silent()

        def answer():
            del self.bus.wrong['n2']
            self.pass_by()

        self.park(self.deliver, self.pass_by, answer)
        self.assertEqual(['waiting for the answer of n2', 'it has its slots, after 20 s'],
                         self.told())

    def test_what_the_destination_refuses_is_told_at_once(self):
        self.with_session()

        def refuse():
            _, message = self.slots._post.waiting.pop()
            self.slots.receive({
                'kind_of_message': 'refused', 'source': 'n1', 'destination': 'n2',
                'migration': 'm1', 'epoch': 500, 'number': 1, 'to_epoch': message.epoch,
                'answers': message.number, 'reason': 'it is odd'})

        self.park(refuse, lambda: self.obstacles.append('enough'))
        self.assertEqual(['waiting for the answer of n2; it has refused what was said: it is odd'],
                         self.told())

    def test_the_time_that_it_waits_counts_for_no_deadline(self):
        made = self.with_session()
        began_s, before = self.now_s, made.view()['started_at']
        self.park(self.deliver, *[self.pass_by] * 5, self.end_another)
        self.assertEqual(began_s + 50.0, made.facts(made._plan, 0).started_s)
        view = made.view()
        self.assertEqual(0.0, view['elapsed_seconds'])
        self.assertGreater(view['started_at'], before)


class TestEnds(ParkingCase):

    def check_ended(self):
        """Nothing is left of it, and nobody else waits for its sake."""
        self.assertIsNone(self.slots._outgoing.stand('m1'))
        self.assertEqual({}, self.slots._stirs)
        self.end_another()
        self.wait(20)
        self.assertEqual(([], 1), (self.with_both('n1', 1), self.used_at()))

    def test_a_cancel_ends_it_at_once(self):
        orders = []

        def cancel():
            # As from the API's thread, which waits for the answer.
            item = inbox_mod.Command(vocabulary.CANCEL)
            item.reply.give(protocol.Answer(protocol.ACCEPTED))
            orders.append(self.current.order(item))

        self.assertEqual(commands.CANCELLED, self.park(self.deliver, cancel))
        self.assertEqual((parking.LOOK_EVERY_S, True), self.current.stir.waits[-1])
        self.check_ended()

    def test_a_cancel_before_it_waits_asks_for_no_slots(self):
        self.current.inbox.ask(inbox_mod.Command(vocabulary.CANCEL))
        self.bus.asked.clear()
        self.assertEqual(commands.CANCELLED, self.park())
        self.assertEqual([], self.bus.asked)
        self.check_ended()

    def test_a_cancel_in_the_moment_in_which_it_has_its_slots_counts(self):
        def both():
            self.end_another()
            self.assertEqual([1], self.with_both('n1', 1))
            self.current.inbox.ask(inbox_mod.Command(vocabulary.CANCEL))

        self.assertEqual(commands.CANCELLED, self.park(self.deliver, both))
        self.assertEqual(([], 1), (self.with_both('n1', 1), self.used_at()))

    def test_its_slots_are_free_before_anything_else_is_done(self):
        self.obstacles.append('nova-compute is being stopped')
        self.slots.adopt(want(1))
        self.assertEqual('nova-compute is being stopped', self.park())
        self.assertEqual([], self.with_both('n1', 1))

    def test_an_order_that_waits_for_its_monitor_does_not_end_it(self):
        def order():
            self.current.inbox.ask(inbox_mod.Command(vocabulary.FORCE_COMPLETE))
            self.current.stir.set()

        self.assertIsNone(self.park(self.deliver, order, self.end_another))
        self.assertTrue(self.current.inbox.holds(vocabulary.FORCE_COMPLETE))

    def test_a_deleted_server_is_news(self):
        def delete():
            self.current.delete()
            self.obstacles.append('its server is being deleted')

        self.assertEqual('its server is being deleted', self.park(self.deliver, delete))
        self.assertEqual((parking.LOOK_EVERY_S, True), self.current.stir.waits[-1])
        self.assertTrue(self.current.is_deleted)
        self.check_ended()

    def test_a_silent_destination_ends_it_after_a_while(self):
        self.bus.wrong['n2'] = hosts.silent()
        looks = int(parking.SILENT_S / parking.LOOK_EVERY_S) + 1
        found = self.park(self.deliver, *[self.pass_by] * looks)
        self.assertIn('n2 has not said for 600 s whether it has a slot for it', found)
        del self.bus.wrong['n2']
        self.wait(40)
        self.check_ended()

    def test_but_not_where_it_is_the_message_bus_that_is_silent(self):
        self.bus.wrong['n2'], self.bus.is_up = hosts.silent(), False
        looks = int(parking.SILENT_S / parking.LOOK_EVERY_S) + 3

        def mend():
            del self.bus.wrong['n2']
            self.bus.is_up = True
            self.pass_by()

        # Those that have the slots have kept them.
        self.assertIsNone(self.park(self.deliver, *[self.pass_by] * looks, mend,
                                    self.end_another))
        self.assertEqual([1], self.with_both('n1', 1))

    def test_a_host_that_refuses_all_of_it_is_silent(self):
        self.bus.wrong['n2'] = client.Refused(protocol.BAD_REQUEST, 'no such form')
        looks = int(parking.SILENT_S / parking.LOOK_EVERY_S) + 1
        self.assertIn('has not said', self.park(self.deliver, *[self.pass_by] * looks))

    def test_whatever_fails_nothing_is_left_of_it(self):
        def fail():
            raise RuntimeError('a bug')

        self.assertRaises(RuntimeError, self.park, self.deliver, fail)
        self.assertIsNone(self.current.parked())
        self.deliver()
        self.check_ended()
