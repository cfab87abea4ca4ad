# SPDX-License-Identifier: Apache-2.0
"""A heap whose keys move."""

import testtools

from nova_migpolicy.capacity import heaps


class TestHeap(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.heap = heaps.Heap()
        for key, rank in (('b', 2.0), ('a', 2.0), ('c', 1.0)):
            self.heap.put(key, rank)

    def test_the_lowest_rank_and_then_the_lower_key(self):
        self.assertEqual((1.0, 'c'), self.heap.first())
        self.assertEqual(['c', 'a', 'b'], self.heap.in_order())

    def test_moved_and_dropped(self):
        self.heap.put('c', 3.0)
        self.assertEqual((2.0, 'a'), self.heap.first())
        self.assertEqual(2.0, self.heap.drop('a'))
        self.assertIsNone(self.heap.drop('a'))
        self.assertEqual((2.0, 'b'), self.heap.first())
        self.assertEqual((2, True, False), (len(self.heap), 'b' in self.heap, 'a' in self.heap))
        self.assertEqual([3.0, None], [self.heap.rank(one) for one in 'ca'])

    def test_until(self):
        taken = []
        for key in self.heap.until(2.0):
            taken.append(key)
            if key == 'a':
                self.heap.put('d', 2.0)
        self.assertEqual((['c', 'a', 'b', 'd'], None), (taken, self.heap.first()))

    def test_what_is_out_of_date_does_not_pile_up(self):
        for rank in range(10_000):
            self.heap.put('a', float(rank + 10))
        self.assertLess(len(self.heap._heap), 50)
        self.assertEqual(['c', 'b', 'a'], self.heap.in_order())
