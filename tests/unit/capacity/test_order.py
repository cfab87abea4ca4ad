# SPDX-License-Identifier: Apache-2.0
"""The order of the queue, by examples; tests/property/test_queue.py has all others."""

import testtools

from nova_migpolicy.capacity import order


def queue(*tickets):
    """A queue of tickets, each a name whose first letter is its group, a priority and a time."""
    made = order.Queue()
    for name, priority, asked_s in tickets:
        made.add(name, name[0], priority, asked_s, asked_s)
    return made


def drained(made, now_s):
    """All of it, taken one after the other."""
    taken = []
    while (name := made.head(now_s)) is not None:
        made.take(name)
        taken.append(name)
    return taken


class TestOrder(testtools.TestCase):

    def test_priority_then_age(self):
        made = queue(('a1', 20, 0.0), ('a2', 50, 1.0), ('a3', 100, 2.0), ('a4', 50, 0.5))
        self.assertEqual(['a3', 'a4', 'a2', 'a1'], drained(made, 3.0))

    def test_turns(self):
        made = queue(*((f'a{number}', 50, float(number)) for number in range(5)),
                     ('b1', 50, 10.0), ('c1', 50, 11.0), ('c2', 50, 12.0))
        self.assertEqual(['a0', 'b1', 'c1', 'a1', 'c2', 'a2', 'a3', 'a4'], drained(made, 20.0))

    def test_aged_ones_are_above_all(self):
        made = queue(('a1', 0, 0.0), ('a2', 100, 1.0), ('b1', 20, 5.0))
        self.assertEqual('a2', made.head(order.AGEING_S - 1))
        self.assertEqual(['a1', 'a2', 'b1'], drained(made, order.AGEING_S))

    def test_one_that_is_given_back_is_where_it_was(self):
        made = queue(('a1', 50, 0.0), ('b1', 50, 1.0), ('a2', 50, 2.0))
        place = made.take('a1')
        made.give_back('a1', place)
        self.assertEqual(['a1', 'b1', 'a2'], made.in_order(3.0))

    def test_a_group_that_rests_keeps_its_turn(self):
        made = queue(('a1', 50, 0.0), ('b1', 50, 1.0), ('b2', 50, 2.0))
        made.rest('a')
        self.assertTrue(made.rests('a'))
        self.assertEqual('b1', made.head(3.0))
        self.assertEqual(['b1', 'a1', 'b2'], made.in_order(3.0))
        made.rouse('a')
        self.assertEqual(['a1', 'b1', 'b2'], drained(made, 3.0))

    def test_all_rest(self):
        made = queue(('a1', 50, 0.0))
        made.rest('a')
        made.add('a2', 'a', 100, 1.0, 1.0)
        self.assertIsNone(made.head(2.0))
        self.assertEqual(2, len(made))

    def test_which_one_it_is(self):
        made = queue(*((f'a{number}', 50, float(number)) for number in range(8)))
        self.assertEqual([1, 8], [made.number(one, 9.0) for one in ('a0', 'a7')])
        made.remove('a3')
        self.assertEqual(7, made.number('a7', 9.0))
        self.assertEqual(7, made.number('a9', 9.0))

    def test_a_long_queue_is_counted_now_and_then(self):
        made = queue(*((f'a{number:03}', 50, float(number)) for number in range(100)))
        self.assertEqual(100, made.number('a099', 200.0))
        made.remove('a000')
        made.add('a100', 'a', 50, 150.0, 200.0)
        self.assertEqual([2, 100], [made.number(one, 201.0) for one in ('a001', 'a100')])
        self.assertEqual(1, made.number('a001', 200.0 + order.PLACES_S))
