# SPDX-License-Identifier: Apache-2.0
"""A destination: offers, leases, the pre-check, who runs alone, restarts, and nonsense."""

import dataclasses

import testtools

from nova_migpolicy.capacity import incoming
from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import order
from nova_migpolicy.capacity import outgoing
from nova_migpolicy import vocabulary
from tests.unit.capacity import ends as ends_mod

want = ends_mod.want
Limits = limits_mod.Limits


class TestPlaces(testtools.TestCase):

    def test_as_many_as_the_limit_and_the_next_at_an_end(self):
        ends = ends_mod.Ends(out=0)
        ends.ask('n1', want(1), want(2), want(3), want(4))
        self.assertEqual(['m1', 'm2'], ends.holders())
        self.assertEqual(ends.holders(), ends.flowing('n1'))
        ends.end('n1', 1)
        self.assertEqual(['m2', 'm3'], ends.holders())

    def test_no_limit(self):
        ends = ends_mod.Ends(out=0, into=0)
        ends.ask('n1', *(want(number) for number in range(20)))
        self.assertEqual(20, len(ends.flowing('n1')))

    def test_a_lowered_limit_only_stops_new_ones(self):
        ends = ends_mod.Ends(out=0, into=3)
        ends.ask('n1', want(1), want(2), want(3), want(4))
        ends.take(ends.destination.set_limits(ends.now_s, Limits(0, 1)))
        ends.end('n1', 1)
        ends.end('n1', 2)
        self.assertEqual(['m3'], ends.holders())
        ends.end('n1', 3)
        self.assertEqual(['m4'], ends.holders())

    def test_an_offer_is_withdrawn_when_its_place_is_gone(self):
        """By a lowered limit, or by one whose lease had ended although its data flows."""
        for is_lowered in (True, False):
            ends = ends_mod.Ends(out=2, into=2)
            ends.ask('n1', want(1))
            ends.take(ends.sources['n3'].ask(ends.now_s, want(2)))
            offer = ends.destination.receive(ends.now_s, ends.post.pop()).sends[0]
            take = ends.sources['n3'].receive(ends.now_s, offer).sends[0]
            if is_lowered:
                ends.take(ends.destination.set_limits(ends.now_s, Limits(2, 1)))
            else:
                ends.take(ends.sources['n1'].adopt(ends.now_s, want(3)))
                ends.deliver()
            ends.take(ends.destination.receive(ends.now_s, take))
            ends.deliver()
            self.assertEqual([], ends.flowing('n3'))
            self.assertEqual(1, ends.destination.waiting)

    def test_a_raised_limit_is_used_at_once(self):
        ends = ends_mod.Ends(out=0, into=1)
        ends.ask('n1', want(1), want(2), want(3))
        ends.take(ends.destination.set_limits(ends.now_s, Limits(0, 3)))
        ends.deliver()
        self.assertEqual(['m1', 'm2', 'm3'], ends.holders())

    def test_an_offer_that_nobody_takes_goes_to_another_source(self):
        ends = ends_mod.Ends(into=1)
        ends.lost = (messages.Take,)
        ends.ask('n1', want(1))
        ends.lost = ()
        ends.ask('n3', want(2))
        self.assertEqual([], ends.holders())
        ends.sources['n1'] = outgoing.Outgoing('n1', 101)
        ends.wait(limits_mod.OFFER_S)
        self.assertEqual(['m2'], ends.holders())

    def test_of_one_source_no_more_is_offered_than_it_has_room_for(self):
        ends = ends_mod.Ends(out=1, into=0)
        sent = []
        for number in range(5):
            ends.take(ends.sources['n1'].ask(ends.now_s, want(number)))
        while ends.post:
            message = ends.post.pop(0)
            sent.append(type(message))
            ends.take(ends.machine(message).receive(ends.now_s, message))
        self.assertEqual(1, sent.count(messages.Offer))
        self.assertEqual(0, sent.count(messages.Decline))
        for number in range(5):
            self.assertEqual(f'm{number}', ends.granted[-1])
            ends.end('n1', number)
            ends.wait(limits_mod.CALL_S)

    def test_cancelled_while_parked_leaves_nothing(self):
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1), want(2))
        ends.end('n1', 2)
        self.assertEqual(0, ends.destination.waiting)
        ends.end('n1', 1)
        self.assertEqual(0, ends.destination.used)
        ends.wait(limits_mod.FORGET_S + 1, 10.0)
        self.assertTrue(ends.destination.is_empty)
        self.assertTrue(ends.sources['n1'].is_empty)

    def test_another_priority_is_another_place(self):
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1), want(2), want(3))
        asked = messages.Ask(
            source='n1', destination='n2', migration='m3', epoch=100, number=10_000, server='db-3',
            priority=100, cost_mib=1.0, waited_s=0.0, room=1)
        ends.destination.receive(ends.now_s, asked)
        self.assertEqual(['m3', 'm2'], [
            one.migration for one in ends.destination.in_order(ends.now_s)])


class TestLeaks(testtools.TestCase):
    """Four ways in which others leaked slots, or took a wait for a failure."""

    def test_deleted_in_mid_migration(self):
        """The source gives the slot back; where it cannot say so, the lease ends."""
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1))
        ends.lost = (messages.Release,)
        ends.end('n1', 1)
        self.assertEqual(['m1'], ends.holders())
        ends.lost = ()
        ends.ask('n3', want(2))
        ends.wait(limits_mod.LEASE_S + limits_mod.POLL_S)
        self.assertEqual(['m2'], ends.holders())

    def test_source_killed(self):
        """A source that died loses what waited at once, and its slots with their lease."""
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1), want(2))
        ends.ask('n3', want(3))
        ends.sources['n1'] = outgoing.Outgoing('n1', 200)
        ends.wait(limits_mod.LEASE_S - 1)
        self.assertEqual(['m1'], ends.holders())
        ends.wait(limits_mod.POLL_S + limits_mod.OFFER_S + limits_mod.REST_S)
        self.assertEqual(['m3'], ends.holders())
        ends.wait(limits_mod.TICKET_S)
        self.assertEqual(0, ends.destination.waiting)

    def test_resurrected_at_a_restart(self):
        """Only what its source says still flows counts after a destination's restart."""
        ends = ends_mod.Ends(into=2)
        ends.ask('n1', want(1), want(2), want(3))
        ends.end('n1', 2)
        ends.lost = (messages.Release,)
        ends.end('n1', 3)
        ends.lost = ()
        ends.destination = incoming.Incoming(ends.now_s, 'n2', 200, Limits())
        ends.wait(limits_mod.LEASE_S)
        self.assertEqual(['m1'], ends.holders())

    def test_time_in_the_queue_is_no_timeout(self):
        """Ten hours of waiting end nothing."""
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1), want(2))
        ends.wait(36_000, 10.0)
        self.assertEqual(1, ends.destination.waiting)
        self.assertIs(outgoing.Stand.WAITING, ends.sources['n1'].stand('m2'))
        ends.end('n1', 1)
        self.assertEqual(['m2'], ends.flowing('n1'))


class TestRestart(testtools.TestCase):

    def test_nothing_is_offered_until_all_holders_could_tell(self):
        ends = ends_mod.Ends(out=0, into=2)
        ends.ask('n1', want(1), want(2), want(3))
        ends.destination = incoming.Incoming(ends.now_s, 'n2', 200, Limits())
        ends.ask('n3', want(4))
        ends.wait(limits_mod.LEASE_S - 1)
        self.assertEqual({'m1', 'm2'}, set(ends.holders()))
        self.assertEqual(['m1', 'm2'], ends.granted)
        ends.wait(limits_mod.POLL_S)
        self.assertEqual(['m1', 'm2'], ends.granted)
        ends.end('n1', 1)
        ends.wait(limits_mod.POLL_S)
        self.assertEqual(3, len(ends.granted))
        self.assertEqual(2, ends.destination.used)

    def test_who_waits_is_told_why(self):
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1), want(2))
        ends.destination = incoming.Incoming(ends.now_s, 'n2', 200, Limits())
        ends.wait(limits_mod.POLL_S)
        self.assertIn('n2, which has just started', ends.sentence('n1', 2))

    def test_who_waits_is_told_where_it_is_being_stopped(self):
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1), want(2))
        ends.destination.close(ends.now_s)
        ends.wait(limits_mod.POLL_S)
        self.assertEqual('1st of 1 until nova-compute on n2, which is being stopped, is back',
                         ends.sentence('n1', 2))

    def test_a_takers_offer_from_before_is_not_taken_for_a_new_one(self):
        ends = ends_mod.Ends()
        ends.take(ends.sources['n1'].ask(ends.now_s, want(1)))
        ask = ends.post.pop()
        offer = ends.destination.receive(ends.now_s, ask).sends[0]
        take = ends.sources['n1'].receive(ends.now_s, offer).sends[0]
        ends.destination = incoming.Incoming(ends.now_s - 100, 'n2', 200, Limits())
        again = ends.destination.receive(
            ends.now_s, dataclasses.replace(ask, number=1)).sends[0]
        self.assertEqual(take.offer, again.offer)
        answers = ends.destination.receive(ends.now_s, take).sends
        self.assertNotIn(messages.Granted, [type(one) for one in answers])
        self.assertEqual([], ends.holders())

    def test_what_a_former_process_says_late_does_not_count(self):
        ends = ends_mod.Ends()
        ends.take(ends.sources['n1'].ask(ends.now_s, want(1)))
        late = ends.post.pop()
        ends.sources['n1'] = outgoing.Outgoing('n1', 200)
        ends.ask('n1', want(2))
        self.assertEqual((), ends.destination.receive(ends.now_s, late).sends)
        self.assertIsNone(ends.destination.ticket('n1', 'm1'))

    def test_a_clock_set_back(self):
        """A source whose epoch is lower than before is heard again after a while."""
        ends = ends_mod.Ends()
        ends.ask('n1', want(1))
        ends.sources['n1'] = outgoing.Outgoing('n1', 50)
        ends.ask('n1', want(2))
        self.assertEqual([], ends.flowing('n1'))
        ends.wait(limits_mod.FORGET_S + limits_mod.POLL_S, 1.0)
        self.assertEqual(['m2'], ends.flowing('n1'))


class TestOldMessages(testtools.TestCase):

    def test_a_late_hold_of_one_that_is_over(self):
        ends = ends_mod.Ends()
        ends.ask('n1', want(1))
        ends.wait(limits_mod.HOLD_S - 1)
        ends.now_s += 1
        late = ends.sources['n1'].wake(ends.now_s).sends[0]
        self.assertIsInstance(late, messages.Hold)
        ends.end('n1', 1)
        ends.take(ends.destination.receive(ends.now_s, late))
        self.assertEqual(0, ends.destination.used)

    def test_each_message_twice(self):
        ends = ends_mod.Ends(into=1)
        once = ends.take
        ends.take = lambda turn: once(dataclasses.replace(turn, sends=turn.sends * 2))
        ends.ask('n1', want(1), want(2))
        ends.end('n1', 1)
        self.assertEqual(['m2'], ends.holders())
        self.assertEqual(['m1', 'm2'], ends.granted)


class TestReservation(testtools.TestCase):

    def test_several_checked_at_once_do_not_all_get_the_last_place(self):
        ends = ends_mod.Ends(into=2)
        ends.ask('n1', want(1))
        machine = ends.destination
        self.assertIsNone(machine.reserve(ends.now_s, 'm7', 'db-7'))
        refusal = machine.reserve(ends.now_s, 'm8', 'db-8')
        self.assertEqual(('n2', vocabulary.INCOMING_SLOT, 2, 2), (
            refusal.host, refusal.kind, refusal.used, refusal.limit))
        self.assertEqual('n2 has no free incoming slot (2 of 2 used by db-1 and db-7)',
                         refusal.sentence)

    def test_it_is_the_migrations_when_it_asks(self):
        ends = ends_mod.Ends(into=1)
        self.assertIsNone(ends.destination.reserve(ends.now_s, 'm2', 'db-2'))
        ends.ask('n1', want(1))
        self.assertEqual([], ends.holders())
        ends.ask('n3', want(2))
        self.assertEqual(['m2'], ends.holders())
        self.assertEqual(1, ends.destination.used)

    def test_it_ends(self):
        ends = ends_mod.Ends(into=1)
        self.assertIsNone(ends.destination.reserve(ends.now_s, 'm2', 'db-2'))
        ends.ask('n1', want(1))
        ends.wait(limits_mod.RESERVE_S + 1)
        self.assertEqual(['m1'], ends.holders())

    def test_it_is_given_back(self):
        ends = ends_mod.Ends(into=1)
        self.assertIsNone(ends.destination.reserve(ends.now_s, 'm2', 'db-2'))
        ends.ask('n1', want(1))
        ends.take(ends.destination.unreserve(ends.now_s, 'm2'))
        ends.deliver()
        self.assertEqual(['m1'], ends.holders())

    def test_checked_again_it_is_one(self):
        ends = ends_mod.Ends(into=2)
        for _ in range(3):
            self.assertIsNone(ends.destination.reserve(ends.now_s, 'm2', 'db-2'))
        self.assertEqual(1, ends.destination.used)

    def test_one_that_runs_alone(self):
        ends = ends_mod.Ends(alone_above_mib=1000.0)
        ends.ask('n1', want(1))
        refusal = ends.destination.reserve(ends.now_s, 'm9', 'db-9', 2000.0)
        self.assertEqual(vocabulary.WHOLE_HOST, refusal.kind)
        ends.end('n1', 1)
        self.assertIsNone(ends.destination.reserve(ends.now_s, 'm9', 'db-9', 2000.0))
        refusal = ends.destination.reserve(ends.now_s, 'm1', 'db-1')
        self.assertEqual(vocabulary.ONE_ALONE, refusal.kind)


class TestAlone(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.ends = ends_mod.Ends(out=0, into=2, alone_above_mib=1000.0)

    def test_it_runs_alone(self):
        ends = self.ends
        ends.ask('n1', want(1, cost_mib=5000.0), want(2), want(3))
        self.assertEqual(['m1'], ends.holders())
        self.assertIn('until n2 is done with one that runs alone', ends.sentence('n1', 2))
        ends.end('n1', 1)
        self.assertEqual(['m2', 'm3'], ends.holders())

    def test_smaller_ones_do_not_starve_it(self):
        """A stream of small ones: it waits ALONE_S, and then until those that run have ended."""
        ends = self.ends
        ends.ask('n1', want(1), want(2), want(3, cost_mib=5000.0))
        began_s = ends.now_s
        number, running = 4, [1, 2]
        while 'm3' not in ends.granted and ends.now_s - began_s < 1000:
            ends.ask('n3', want(number))
            ends.wait(10.0, 5.0)
            if running:
                one = running.pop(0)
                ends.end('n1' if one < 4 else 'n3', one)
            running += [int(name[1:]) for name in ends.granted
                        if name != 'm3' and int(name[1:]) >= 4 and name in ends.holders()
                        and int(name[1:]) not in running]
            number += 1
        self.assertIn('m3', ends.granted)
        self.assertLess(ends.now_s - began_s, limits_mod.ALONE_S + 60)
        self.assertGreater(ends.now_s - began_s, limits_mod.ALONE_S)
        self.assertEqual(['m3'], ends.holders())

    def test_those_that_run_alone_do_not_starve_smaller_ones(self):
        """After one has run alone, smaller ones have ALONE_S before others are held back again."""
        ends = self.ends
        ends.ask('n1', *(want(number, cost_mib=5000.0, priority=100) for number in range(1, 6)))
        ends.ask('n3', want(10, priority=20), want(11, priority=20))
        ends.end('n1', 1)
        self.assertEqual(['m10', 'm11'], ends.holders())

    def test_it_does_not_go_before_a_higher_class(self):
        ends = self.ends
        ends.ask('n1', want(1), want(2), want(3, cost_mib=5000.0, priority=20))
        ends.wait(limits_mod.ALONE_S + 10, 5.0)
        ends.ask('n3', want(4, priority=100))
        ends.end('n1', 1)
        self.assertEqual(['m2', 'm4'], ends.holders())

    def test_held_back_for_one_whose_source_has_no_place_smaller_ones_go(self):
        ends = ends_mod.Ends(out=1, into=2, alone_above_mib=1000.0)
        ends.sources['n1'] = outgoing.Outgoing('n1', 100, Limits(1, 2))
        ends.ask('n3', want(1))
        ends.ask('n1', want(2, cost_mib=5000.0))
        ends.take(ends.sources['n1'].set_slots(ends.now_s, 'n9', False))
        ends.ask('n1', want(3, destination='n9'))
        ends.wait(limits_mod.ALONE_S + 10, 5.0)
        ends.sources['n3'].set_limits(ends.now_s, Limits(3, 2))
        ends.ask('n3', want(4))
        self.assertEqual(['m1', 'm4'], ends.holders())


class TestSentences(testtools.TestCase):

    def test_place_limit_holders_and_forecast(self):
        ends = ends_mod.Ends(out=0)
        ends.ask('n1', want(1), want(7))
        for number, ends_s in ((1, 40.0), (7, 90.0)):
            ends.sources['n1'].note(f'm{number}', 'bulk copy', ends.now_s + ends_s)
        ends.wait(limits_mod.HOLD_S)
        ends.ask('n1', want(2))
        ends.ask('n3', want(3), want(4), want(5), want(6))
        self.assertEqual('1st of 1 for an incoming slot on n2 (2 of 2 used by db-1 and db-7); '
                         'about 30 s', ends.sentence('n1', 2))
        self.assertEqual('2nd of 2 for an incoming slot on n2 (2 of 2 used by db-1 and db-7); '
                         'about 80 s', ends.sentence('n3', 3))
        holder = ends.destination.holders()[0]
        self.assertEqual('bulk copy', holder.phase)

    def test_aged_ones_are_first(self):
        ends = ends_mod.Ends(into=1)
        ends.ask('n1', want(1), want(2, priority=20))
        ends.wait(order.AGEING_S, 10.0)
        ends.ask('n3', want(3, priority=100))
        ends.end('n1', 1)
        self.assertEqual(['m2'], ends.holders())


class TestNonsense(testtools.TestCase):

    def test_each_is_refused_and_changes_nothing(self):
        ends = ends_mod.Ends()
        ends.ask('n1', want(1))
        good = messages.Ask(source='n1', destination='n2', migration='m2', epoch=100, number=900,
                            server='x', priority=1, cost_mib=1.0, waited_s=0.0, room=1)
        for changes in ({'priority': 101}, {'priority': '50'}, {'cost_mib': float('nan')},
                        {'cost_mib': float('inf')}, {'waited_s': -1.0}, {'waited_s': None},
                        {'room': 1.5}, {'epoch': True}, {'number': 1 << 70}, {'server': ''},
                        {'migration': ['m']}, {'migration': 'm 2'},
                        {'destination': 'n7'}, {'source': 'x' * 300}):
            with self.subTest(changes):
                turn = ends.destination.receive(
                    ends.now_s, dataclasses.replace(good, **changes))
                self.assertTrue(turn.refused)
                for sent in turn.sends:
                    self.assertEqual(turn.refused, sent.reason)
        self.assertEqual(1, ends.destination.used + ends.destination.waiting)

    def test_what_is_no_message_of_a_source(self):
        ends = ends_mod.Ends()
        for message in (None, 'ask', 7, messages.Turn(), messages.Offer(
                source='n1', destination='n2', migration='m', epoch=1, number=1, to_epoch=1,
                answers=1, offer=1, lasts_s=1.0)):
            turn = ends.destination.receive(ends.now_s, message)
            self.assertIn('is not one of Ask, Take, Hold, Decline, Release', turn.refused)
            self.assertEqual((), turn.sends)

    def test_the_source_says_why_it_waits(self):
        ends = ends_mod.Ends()
        ends.sources['n1'].ask(ends.now_s, want(1, cost_mib=float('nan')))
        ends.wait(limits_mod.POLL_S + 1)
        self.assertIn('cost_mib = nan is not an amount from 0 to 9007199254740992',
                      ends.sentence('n1', 1))
