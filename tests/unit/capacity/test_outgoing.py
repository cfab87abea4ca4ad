# SPDX-License-Identifier: Apache-2.0
"""A source: offers taken and declined, answers that do not come, restarts, hosts without slots."""

import dataclasses

import testtools

from nova_migpolicy.capacity import limits as limits_mod
from nova_migpolicy.capacity import messages
from nova_migpolicy.capacity import outgoing
from nova_migpolicy import vocabulary
from tests.unit.capacity import ends as ends_mod

want = ends_mod.want
Limits = limits_mod.Limits
Stand = outgoing.Stand

TO = {'source': 'n1', 'destination': 'n2', 'epoch': 5, 'to_epoch': 100}


def offer(migration, number, answers=99, **changes):
    """An offer of n2 to n1."""
    return messages.Offer(**{**TO, 'migration': migration, 'number': number, 'answers': answers,
                             'offer': number, 'lasts_s': 5.0, **changes})


def granted(migration, number, answers):
    """An answer of n2 to n1."""
    return messages.Granted(migration=migration, number=number, answers=answers, **TO)


def queued(migration, number, answers, used=2, limit=2):
    """Another answer of n2 to n1."""
    return messages.Queued(migration=migration, number=number, answers=answers, place=1, waiting=1,
                           kind=vocabulary.INCOMING_SLOT, used=used, limit=limit, **TO)


def kinds(turn):
    """The kinds of messages that are sent."""
    return [type(one) for one in turn.sends]


class TestOffers(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.source = outgoing.Outgoing('n1', 100, Limits(1, 2))
        self.source.ask(0.0, want(1))
        self.source.ask(0.0, want(2))

    def take(self):
        """Have m1 take an offer."""
        return self.source.receive(1.0, offer('m1', 1)).sends[0]

    def test_it_holds_nothing_while_it_waits(self):
        self.assertEqual(0, self.source.used)

    def test_taken_with_a_place_of_its_own_and_granted(self):
        take = self.take()
        self.assertEqual((messages.Take, 1, 5), (type(take), take.offer, take.to_epoch))
        self.assertEqual((Stand.TAKING, 1), (self.source.stand('m1'), self.source.used))
        turn = self.source.receive(1.1, granted('m1', 2, take.number))
        self.assertEqual((('m1',), ()), (turn.granted, turn.sends))
        self.assertIs(Stand.HOLDING, self.source.stand('m1'))

    def test_declined_without_one(self):
        self.take()
        turn = self.source.receive(1.1, offer('m2', 2))
        self.assertEqual([messages.Decline], kinds(turn))
        self.assertIs(Stand.WAITING, self.source.stand('m2'))
        self.assertEqual('for an outgoing slot on n1 (1 of 1 used by db-1)',
                         self.source.wait('m2').sentence)

    def test_an_offer_that_is_over_gives_the_own_place_back(self):
        take = self.take()
        self.source.receive(1.1, queued('m1', 2, take.number))
        self.assertEqual((Stand.WAITING, 0), (self.source.stand('m1'), self.source.used))

    def test_an_older_answer_does_not(self):
        take = self.take()
        self.source.receive(1.1, queued('m1', 2, take.number - 1))
        self.assertIs(Stand.TAKING, self.source.stand('m1'))

    def test_said_again_and_then_given_up(self):
        take = self.take()
        again = self.source.wake(1.0 + limits_mod.TAKE_AGAIN_S).sends
        self.assertEqual([(messages.Take, take.offer)], [(type(one), one.offer) for one in again])
        turn = self.source.wake(1.0 + limits_mod.TAKE_S)
        self.assertIn(messages.Ask, kinds(turn))
        self.assertEqual((Stand.WAITING, 0), (self.source.stand('m1'), self.source.used))

    def test_an_answer_after_that_begins_nothing(self):
        """The destination is told that it waits, which frees what was granted."""
        take = self.take()
        self.source.wake(1.0 + limits_mod.TAKE_S)
        turn = self.source.receive(9.0, granted('m1', 2, take.number))
        self.assertEqual((), turn.granted)
        self.assertEqual(messages.Ask, kinds(turn)[0])

    def test_cancelled_while_it_takes(self):
        take = self.take()
        self.assertIn(messages.Release, kinds(self.source.end(1.1, 'm1')))
        turn = self.source.receive(1.2, granted('m1', 2, take.number))
        self.assertEqual(((), [messages.Release]), (turn.granted, kinds(turn)))

    def test_another_offer_while_it_takes(self):
        first = self.take()
        turn = self.source.receive(1.1, offer('m1', 3))
        self.assertEqual(3, turn.sends[0].offer)
        turn = self.source.receive(1.2, queued('m1', 4, first.number))
        self.assertIs(Stand.TAKING, self.source.stand('m1'))

    def test_twice_or_out_of_order(self):
        take = self.take()
        self.source.receive(1.1, granted('m1', 3, take.number))
        for message in (offer('m1', 1), granted('m1', 3, take.number), queued('m1', 2, 0)):
            turn = self.source.receive(1.2, message)
            self.assertEqual(((), ()), (turn.sends, turn.granted))
        self.assertEqual(1, self.source.used)

    def test_for_a_former_process(self):
        turn = self.source.receive(1.0, offer('m1', 1, to_epoch=99))
        self.assertEqual((), turn.sends)
        self.assertEqual(0, self.source.used)


class TestCalls(testtools.TestCase):
    """A slot that becomes free is used at once."""

    def test_who_declined_is_called(self):
        ends = ends_mod.Ends(out=1, into=0)
        ends.ask('n1', want(1), want(2))
        ends.end('n1', 1)
        self.assertEqual(['m2'], ends.flowing('n1'))

    def test_the_higher_class_is_called_first(self):
        ends = ends_mod.Ends(out=1, into=0)
        ends.ask('n1', want(1), want(2, priority=20), want(3, priority=100))
        ends.end('n1', 1)
        self.assertEqual(['m3'], ends.flowing('n1'))

    def test_a_raised_limit(self):
        ends = ends_mod.Ends(out=1, into=0)
        ends.ask('n1', want(1), want(2), want(3))
        ends.take(ends.sources['n1'].set_limits(ends.now_s, Limits(3, 2)))
        ends.deliver()
        ends.wait(3 * limits_mod.CALL_S)
        self.assertEqual(['m1', 'm2', 'm3'], ends.flowing('n1'))

    def test_a_lowered_limit_only_stops_new_ones(self):
        ends = ends_mod.Ends(out=2, into=0)
        ends.ask('n1', want(1), want(2), want(3))
        ends.take(ends.sources['n1'].set_limits(ends.now_s, Limits(1, 2)))
        ends.end('n1', 1)
        ends.wait(30.0)
        self.assertEqual(['m2'], ends.flowing('n1'))

    def test_one_after_the_other(self):
        """The second destination is called when the first has not made use of it."""
        source = outgoing.Outgoing('n1', 100, Limits(1, 2))
        source.adopt(0.0, want(1))
        for number, host in ((2, 'n2'), (3, 'n3')):
            source.ask(0.0, want(number, host))
        turn = source.end(1.0, 'm1')
        asked = [one.destination for one in turn.sends if isinstance(one, messages.Ask)]
        self.assertEqual(['n2'], asked)
        self.assertAlmostEqual(1.0 + limits_mod.CALL_S, source.wake_s)
        self.assertEqual(['n3'], [one.destination for one in source.wake(source.wake_s).sends])


class TestPolls(testtools.TestCase):

    def test_none_in_less_than_ten_seconds(self):
        ends = ends_mod.Ends(out=0, into=1)
        ends.ask('n1', want(1), want(2))
        asks = []
        take = ends.take
        ends.take = lambda turn: asks.extend(
            ends.now_s for one in turn.sends if isinstance(one, messages.Ask)) or take(turn)
        ends.wait(100)
        self.assertEqual(10, len(asks))

    def test_a_lost_message_is_made_good(self):
        for lost in (messages.Ask, messages.Offer, messages.Take, messages.Granted):
            with self.subTest(lost):
                ends = ends_mod.Ends()
                ends.lost = (lost,)
                ends.ask('n1', want(1))
                ends.lost = ()
                ends.wait(limits_mod.OFFER_S + limits_mod.REST_S + limits_mod.POLL_S)
                self.assertEqual((['m1'], ['m1']), (ends.flowing('n1'), ends.holders()))

    def test_asked_twice_is_asked_once(self):
        ends = ends_mod.Ends()
        ends.ask('n1', want(1), want(1))
        self.assertEqual(['m1'], ends.granted)


class TestRestart(testtools.TestCase):

    def test_what_flows_is_adopted_and_counts_at_both_ends(self):
        ends = ends_mod.Ends(out=1, into=1)
        ends.ask('n1', want(1))
        ends.sources['n1'] = outgoing.Outgoing('n1', 200, Limits(1, 1))
        ends.take(ends.sources['n1'].adopt(ends.now_s, want(1)))
        ends.ask('n1', want(2))
        ends.ask('n3', want(3))
        ends.wait(limits_mod.LEASE_S * 2)
        self.assertEqual((['m1'], ['m1']), (ends.flowing('n1'), ends.holders()))

    def test_more_is_known_of_one_that_was_adopted(self):
        ends = ends_mod.Ends(alone_above_mib=1000.0)
        for name, cost_mib in (('5f0c', 0.0), ('db-1', 2000.0)):
            ends.take(ends.sources['n1'].adopt(
                ends.now_s, outgoing.Want('m1', name, 'n2', cost_mib=cost_mib)))
            ends.deliver()
            self.assertEqual([name], [one.server for one in ends.destination.holders()])
        # What it costs counts as well.
        ends.ask('n3', want(2))
        self.assertEqual(['m1'], ends.holders())
        ends.end('n1', 1)
        self.assertEqual(['m2'], ends.holders())

    def test_one_that_waits_is_adopted(self):
        ends = ends_mod.Ends(out=1, into=1)
        ends.ask('n3', want(9))
        ends.ask('n1', want(1))
        ends.take(ends.sources['n1'].adopt(ends.now_s, want(1)))
        ends.deliver()
        self.assertEqual({'m9', 'm1'}, set(ends.holders()))

    def test_a_destination_that_has_started_is_told_all_at_once(self):
        ends = ends_mod.Ends(out=0, into=1)
        ends.ask('n1', want(1), want(2), want(3))
        source = ends.sources['n1']
        turn = source.receive(ends.now_s, dataclasses.replace(
            queued('m3', 1, 99), epoch=300))
        self.assertEqual([('m1', messages.Hold), ('m2', messages.Ask)], [
            (one.migration, type(one)) for one in turn.sends])
        self.assertEqual({300}, {one.to_epoch for one in turn.sends})


class TestWithout(testtools.TestCase):
    """A host without the plugin has room always."""

    def setUp(self):
        super().setUp()
        self.source = outgoing.Outgoing('n1', 100, Limits(1, 2))

    def test_the_own_place_is_enough(self):
        self.source.ask(0.0, want(1, 'n8'))
        self.assertEqual(('m1',), self.source.set_slots(0.1, 'n8', False).granted)
        self.assertEqual((), self.source.ask(0.2, want(2, 'n8')).granted)
        self.assertEqual(('m2',), self.source.end(0.3, 'm1').granted)

    def test_it_is_told_of_them_all_the_same(self):
        self.source.set_slots(0.0, 'n8', False)
        self.source.ask(0.0, want(1, 'n8'))
        self.source.ask(0.0, want(2, 'n8'))
        told = [one for second in range(1, 101) for one in self.source.wake(float(second)).sends]
        self.assertEqual({('m1', messages.Hold), ('m2', messages.Ask)},
                         {(one.migration, type(one)) for one in told})
        self.assertEqual(20, len(told))
        # The other one's turn comes all the same.
        self.assertEqual(('m2',), self.source.end(101.0, 'm1').granted)

    def test_what_it_was_told_before_counts_no_more(self):
        source = outgoing.Outgoing('n1', 100, Limits(1, 2))
        source.ask(0.0, want(1))
        source.receive(0.1, queued('m1', 1, 1))
        self.assertIn('n2', source.wait('m1').sentence)
        source.adopt(0.2, want(2))
        source.set_slots(0.3, 'n2', False)
        self.assertIn('for an outgoing slot on n1', source.wait('m1').sentence)

    def test_one_that_gets_the_plugin(self):
        self.source.set_slots(0.0, 'n8', False)
        self.source.ask(0.0, want(1, 'n8'))
        self.source.ask(0.0, want(2, 'n8'))
        turn = self.source.set_slots(1.0, 'n8', True)
        self.assertEqual([('m1', messages.Hold), ('m2', messages.Ask)], [
            (one.migration, type(one)) for one in turn.sends])


class TestNonsense(testtools.TestCase):

    def test_each_is_refused_and_changes_nothing(self):
        source = outgoing.Outgoing('n1', 100)
        source.ask(0.0, want(1))
        for message in (
                None, 'granted', messages.Turn(), offer('m1', 1, offer=-1),
                offer('m1', 1, lasts_s=float('nan')), offer('', 1), offer('m1', True),
                offer('m1', 1, source='n7'), offer('m1', 1, epoch='5'),
                dataclasses.replace(queued('m1', 1, 1), holders=['db-1']),
                dataclasses.replace(queued('m1', 1, 1), place=-2),
                dataclasses.replace(queued('m1', 1, 1), eta_s='soon')):
            with self.subTest(message):
                turn = source.receive(1.0, message)
                self.assertTrue(turn.refused)
                self.assertEqual(((), ()), (turn.sends, turn.granted))
        self.assertIs(Stand.WAITING, source.stand('m1'))

    def test_what_is_not_known(self):
        source = outgoing.Outgoing('n1', 100)
        self.assertEqual([messages.Release], kinds(source.receive(0.0, offer('m7', 1))))
        self.assertEqual((), source.receive(0.0, messages.Refused(
            reason='no', migration='m7', number=2, answers=1, **TO)).sends)
        self.assertEqual((), source.end(0.0, 'm7').sends)
        self.assertIsNone(source.stand('m7'))
        self.assertIsNone(source.wait('m7'))
        source.note('m7', 'passes', 1.0)
