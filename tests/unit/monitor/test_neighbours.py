# SPDX-License-Identifier: Apache-2.0
"""What the migrations of a host see of each other."""

from __future__ import annotations

import threading

import testtools

from nova_migpolicy.monitor import neighbours as neighbours_mod


class NeighboursTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.now_s = 100.0
        self.all = neighbours_mod.Neighbours(lambda: self.now_s)
        self.woken = []

    def join(self, name):
        return self.all.join(lambda: self.woken.append(name))

    def test_one_is_alone(self):
        self.assertEqual(neighbours_mod.Seen(0, 0), self.all.seen_by(self.join('a')))

    def test_those_that_began_before_are_seen_in_need(self):
        first, second, third = self.join('a'), self.join('b'), self.join('c')
        self.all.tell(second, in_need=True, has_given_way=False)
        self.assertEqual(neighbours_mod.Seen(2, 0), self.all.seen_by(first))
        self.assertEqual(neighbours_mod.Seen(2, 1), self.all.seen_by(third))
        self.all.tell(third, in_need=False, has_given_way=True)
        self.assertEqual(neighbours_mod.Seen(1, 0), self.all.seen_by(second))

    def test_only_what_is_new_wakes_the_others(self):
        one, _ = self.join('a'), self.join('b')
        self.all.tell(one, in_need=False, has_given_way=False)
        self.assertEqual([], self.woken)
        self.all.tell(one, in_need=True, has_given_way=False)
        self.all.tell(one, in_need=True, has_given_way=False)
        self.assertEqual(['b'], self.woken)

    def test_who_leaves_wakes_those_that_waited(self):
        one, other, _ = self.join('a'), self.join('b'), self.join('c')
        self.all.leave(other)
        self.assertEqual([], self.woken)
        self.all.tell(one, in_need=True, has_given_way=False)
        self.woken.clear()
        self.all.leave(one)
        self.assertEqual(['c'], self.woken)

    def test_one_that_is_urgent_goes_first_and_looks_again(self):
        first, second, third = self.join('a'), self.join('b'), self.join('c')
        self.all.tell(first, in_need=True, has_given_way=False)
        self.all.tell(third, in_need=True, has_given_way=True)
        self.woken.clear()
        self.all.tell(third, in_need=True, is_urgent=True, has_given_way=True)
        self.assertEqual(['a', 'b', 'c'], self.woken)
        self.assertEqual([1, 2, 0], [
            self.all.seen_by(one).needed_by for one in (first, second, third)])
        self.all.tell(second, in_need=True, is_urgent=True, has_given_way=True)
        self.assertEqual([2, 0, 1], [
            self.all.seen_by(one).needed_by for one in (first, second, third)])

    def test_one_whose_libvirt_is_silent_is_not_waited_for(self):
        first, second = self.join('a'), self.join('b')
        self.all.tell(first, in_need=True, has_given_way=False)
        self.now_s += neighbours_mod.SILENT_S - 1
        self.assertEqual(neighbours_mod.Seen(1, 1), self.all.seen_by(second))
        self.now_s += 1
        self.assertEqual(neighbours_mod.Seen(0, 0), self.all.seen_by(second))
        self.all.tell(first, in_need=True, has_given_way=False)
        self.assertEqual(neighbours_mod.Seen(1, 1), self.all.seen_by(second))

    def test_many_threads(self):
        seen = []

        def work():
            for _ in range(200):
                member = self.all.join(lambda: None)
                self.all.tell(member, in_need=True, has_given_way=False)
                seen.append(self.all.seen_by(member).others >= 0)
                self.all.leave(member)

        workers = [threading.Thread(target=work) for _ in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual([True] * 1600, seen)
        self.assertEqual(neighbours_mod.Seen(0, 0), self.all.seen_by(self.join('last')))
