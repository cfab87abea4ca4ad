# SPDX-License-Identifier: Apache-2.0
"""The slots of two hosts in a fleet whose messages are lost and whose hosts die, by some seeds.

A seed that fails is shown with the end of its story; `python -m bench slots --seed S` tells all of
it, with the same numbers of events and hosts.
"""

import collections
import contextlib
from unittest import mock

import testtools
from testtools import content

from nova_migpolicy.capacity import incoming
from nova_migpolicy.capacity import limits
from nova_migpolicy.capacity import order
from nova_migpolicy.capacity import outgoing
from nova_migpolicy.sim.slots import storm

#: seeds, events and hosts of each kind of plays: many migrations, and long waits
KINDS = ((range(40), 1200, 4), (range(1000, 1010), 4000, 3))

Incoming = incoming.Incoming
Outgoing = outgoing.Outgoing
Stand = outgoing.Stand


def plays():
    """All of them, one after the other: the numbers of each, and how it went."""
    for seeds, events, hosts in KINDS:
        for seed in seeds:
            yield (seed, events, hosts), storm.play(seed, events, hosts)


def first_failure(part):
    """The first play that does not hold, with this in what is told of it; or None."""
    return next((numbers for numbers, played in plays() if played.broken
                 and part in played.broken), None)


def one_too_many():
    """A limit is one higher than it says."""
    return mock.patch.object(limits, 'has_room', lambda used, limit: limit == 0 or used <= limit)


def endless_leases():
    """A lease need not be renewed."""
    run_out = Incoming._run_out
    return mock.patch.object(Incoming, '_run_out', lambda self, now_s, ticket: (
        None if ticket.state is incoming.State.HOLDING else run_out(self, now_s, ticket)))


def no_recount():
    """A destination offers at once after its start."""
    return mock.patch.object(Incoming, 'starts_s', property(
        lambda self: 0.0, lambda self, value: None), create=True)


def no_turns():
    """A source goes on until nothing of it waits."""
    return mock.patch.object(order._Level, 'set_turn', lambda self, group, turn: None)


def no_ageing():
    """Nothing ages."""
    return mock.patch.object(order.Queue, '_age', lambda self, now_s: None)


def data_before_the_answer():
    """A source lets data flow when it has taken an offer, not when that is granted."""
    take = Outgoing._take

    def broken(self, now_s, own, work):
        take(self, now_s, own, work)
        self._begin(now_s, own)
        work.granted.append(own.want.migration)
    return mock.patch.object(Outgoing, '_take', broken)


def kept_while_it_waits():
    """A source does not give its own slot back when the offer is over."""
    queued = Outgoing._queued
    return mock.patch.object(Outgoing, '_queued', lambda self, now_s, own, told, work: (
        None if own.stand is Stand.TAKING else queued(self, now_s, own, told, work)),
    ), mock.patch.object(Outgoing, '_again', lambda self, now_s, own, work: (
        self._take(now_s, own, work) if own.stand is Stand.TAKING
        else self._retell(now_s, own, work)))


def nothing_is_asked_again():
    """A source asks once; a lost message is never sent again."""
    return mock.patch.object(Outgoing, '_retell', lambda self, now_s, own, work: (
        None if own.stand is Stand.WAITING else self._hold(now_s, own, work)))


#: what is broken, and a part of what has to be found
BREAKS = {
    'one more than the limit': (one_too_many, 'its limit is'),
    'leases do not end': (endless_leases, 'still has its slot'),
    'a destination does not wait for what comes to it already': (no_recount, 'takes'),
    'sources have no turns': (no_turns, 'two turns'),
    'nothing ages': (no_ageing, 'is not before the others'),
    'data flows without an answer': (data_before_the_answer, 'flows without a slot'),
    'a slot is kept by what waits': (kept_while_it_waits, 'which waits'),
    'a message is lost for good': (nothing_is_asked_again, 'wait'),
}


class TestSlots(testtools.TestCase):

    def test_all_holds(self):
        seen = collections.Counter()
        for numbers, played in plays():
            seen.update(played.counts)
            if played.broken:
                story = []
                storm.play(*numbers, story)
                self.addDetail('the end of its story',
                               content.text_content('\n'.join(story[-200:])))
                self.fail(f'seed, events and hosts {numbers}: {played.broken}')
        self.assertEqual({}, {name: count for name, count in seen.items() if count < 5},
                         'what it is about hardly happens')

    def test_a_seed_is_the_same_each_time(self):
        stories = [[], []]
        played = [storm.play(3, 1500, 4, story) for story in stories]
        self.assertEqual(*played)
        self.assertEqual(*stories)
        self.assertGreater(len(stories[0]), 500)


class TestBreaks(testtools.TestCase):
    """What is wrong in a machine or in the order is found within as many seeds."""

    def check(self, name):
        broken, part = BREAKS[name]
        patches = broken()
        with self.patched(patches if isinstance(patches, tuple) else (patches,)):
            self.assertIsNotNone(first_failure(part), f'not found: {name}')

    def patched(self, patches):
        stack = contextlib.ExitStack()
        for patch in patches:
            stack.enter_context(patch)
        return stack

    def test_what_is_broken_is_found(self):
        for name in BREAKS:
            with self.subTest(name):
                self.check(name)

    def test_one_that_runs_alone_beside_others(self):
        with mock.patch.object(Incoming, '_describe', self.describe_as_one_of_many):
            self.assertIsNotNone(first_failure('has to run alone'))

    @staticmethod
    def describe_as_one_of_many(machine, now_s, ticket, message):
        ticket.server, ticket.priority, ticket.cost_mib = message.server, message.priority, 0.0
        ticket.asked_s = now_s - message.waited_s
