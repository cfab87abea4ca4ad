# SPDX-License-Identifier: Apache-2.0
"""What holds of the queue for slots, whatever comes, goes, rests and ages."""

import dataclasses

import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy.capacity import order

GROUPS = 'abc'
STEP_S = order.AGEING_S / 8


@dataclasses.dataclass
class Ticket:
    """A waiting one, as a plain model has it."""

    name: str
    group: str
    priority: int
    asked_s: float
    level: int


class Model:
    """The queue in its plainest form: everything is looked at each time."""

    def __init__(self):
        self.tickets = []
        self.resting = set()
        #: by level and group: its turn, as long as something of it waits in there
        self.turns = {}
        self.turn = 0

    def add(self, name, group, priority, asked_s):
        self.enter(Ticket(name, group, priority, asked_s, priority))

    def enter(self, ticket):
        self.tickets.append(ticket)
        if (ticket.level, ticket.group) not in self.turns:
            self.turn += 1
            self.turns[ticket.level, ticket.group] = self.turn

    def leave(self, ticket):
        self.tickets.remove(ticket)
        if not any((one.level, one.group) == (ticket.level, ticket.group)
                   for one in self.tickets):
            del self.turns[ticket.level, ticket.group]

    def age(self, now_s):
        for ticket in sorted(self.tickets, key=lambda one: (one.asked_s, one.name)):
            if ticket.level != order.AGED and now_s >= ticket.asked_s + order.AGEING_S:
                self.leave(ticket)
                ticket.level = order.AGED
                self.enter(ticket)

    def head(self):
        return min((one for one in self.tickets if one.group not in self.resting), default=None,
                   key=lambda one: (-one.level, self.turns[one.level, one.group], one.asked_s,
                                    one.name))

    def take(self, ticket):
        self.turn += 1
        self.turns[ticket.level, ticket.group] = self.turn
        self.leave(ticket)


STEPS = strategies.lists(strategies.one_of(
    strategies.tuples(strategies.just('add'), strategies.sampled_from(GROUPS),
                      strategies.sampled_from([0, 20, 50, 100]), strategies.integers(0, 10)),
    strategies.tuples(strategies.just('remove'), strategies.integers(0, 30)),
    strategies.tuples(strategies.just('take')),
    strategies.tuples(strategies.just('try')),
    strategies.tuples(strategies.sampled_from(['rest', 'rouse']),
                      strategies.sampled_from(GROUPS)),
    strategies.tuples(strategies.just('wait'), strategies.integers(1, 9))), max_size=60)


class Both:
    """The queue and the model, side by side."""

    def __init__(self):
        self.queue = order.Queue()
        self.model = Model()
        self.now_s = 0.0
        self.number = 0

    def do(self, step):
        getattr(self, f'do_{step[0]}')(*step[1:])

    def do_add(self, group, priority, waited):
        self.number += 1
        asked_s = self.now_s - waited
        self.queue.add(f'{self.number:02}', group, priority, asked_s, self.now_s)
        self.model.add(f'{self.number:02}', group, priority, asked_s)

    def do_remove(self, place):
        if place < len(self.model.tickets):
            ticket = self.model.tickets[place]
            self.model.leave(ticket)
            self.queue.remove(ticket.name)

    def do_take(self):
        name = self.queue.head(self.now_s)
        if name is not None:
            self.queue.take(name)
            self.model.take(self.model.head())

    def do_try(self):
        """Take one, and give it back: nothing has changed."""
        name = self.queue.head(self.now_s)
        if name is not None:
            before = self.queue.in_order(self.now_s)
            self.queue.give_back(name, self.queue.take(name))
            assert before == self.queue.in_order(self.now_s)

    def do_rest(self, group):
        self.queue.rest(group)
        self.model.resting.add(group)

    def do_rouse(self, group):
        self.queue.rouse(group)
        self.model.resting.discard(group)

    def do_wait(self, steps):
        self.now_s += steps * STEP_S


class TestQueue(testtools.TestCase):

    @hypothesis.given(STEPS)
    def test_the_next_one_is_the_plain_models(self, steps):
        both = Both()
        for step in steps:
            both.model.age(both.now_s)
            both.do(step)
            both.model.age(both.now_s)
            head = both.model.head()
            self.assertEqual(None if head is None else head.name, both.queue.head(both.now_s))
            self.assertEqual(len(both.model.tickets), len(both.queue))

    @hypothesis.given(STEPS)
    def test_the_order_that_is_shown_is_the_order_in_which_they_go(self, steps):
        both = Both()
        for step in steps:
            both.do(step)
        for group in GROUPS:
            both.queue.rouse(group)
        shown = both.queue.in_order(both.now_s)
        self.assertEqual(list(range(1, len(shown) + 1)),
                         [both.queue.number(one, both.now_s) for one in shown])
        gone = []
        while (name := both.queue.head(both.now_s)) is not None:
            both.queue.take(name)
            gone.append(name)
        self.assertEqual(shown, gone)

    @hypothesis.given(STEPS, strategies.lists(
        strategies.sampled_from(GROUPS), min_size=1, max_size=200))
    def test_the_bound_of_the_aged(self, steps, others):
        """Of S groups, at most K * S - 1 go before the K-th of its group, whoever comes."""
        both = Both()
        for step in steps:
            if step[0] not in ('rest', 'rouse'):
                both.do(step)
        both.do_add('a', 0, 0)
        mine = f'{both.number:02}'
        both.now_s += order.AGEING_S
        both.queue.head(both.now_s)
        line = [one for one in both.queue.in_order(both.now_s)
                if both.queue.place(one).group == 'a']
        bound = (line.index(mine) + 1) * len(GROUPS) - 1
        for number, group in enumerate(others):
            # Others come all the time, of the highest class or aged already.
            both.queue.add(f'x{number:03}', group, 100, both.now_s, both.now_s)
            both.queue.add(f'y{number:03}', group, 100, both.now_s - order.AGEING_S, both.now_s)
            name = both.queue.head(both.now_s)
            if name == mine:
                return
            both.queue.take(name)
            self.assertLessEqual(number + 1, bound)

    @hypothesis.given(strategies.integers(1, 100), strategies.integers(0, 50))
    def test_one_with_many_does_not_keep_anothers_single_one_out(self, many, earlier):
        queue = order.Queue()
        for number in range(many):
            queue.add(f'a{number:03}', 'a', 50, float(number), float(number))
        for _ in range(min(earlier, many - 1)):
            queue.take(queue.head(200.0))
        queue.add('b', 'b', 50, 200.0, 200.0)
        gone = []
        while 'b' in queue:
            gone.append(queue.head(200.0))
            queue.take(gone[-1])
        self.assertLessEqual(len(gone), 2)
