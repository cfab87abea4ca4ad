# SPDX-License-Identifier: Apache-2.0
"""A call that is left goes on, and one that is not is as if it were made plainly."""

from __future__ import annotations

from concurrent import futures
import threading

import testtools

from nova_migpolicy.monitor import leaving

#: for what has to come; nothing waits for so long
LONG_S = 30.0


class LeaveTest(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.leave = leaving.Leave()

    def test_the_result_and_the_error_of_a_call_are_its_own(self):
        self.assertEqual(7, self.leave.unless_left(lambda: 7))
        error = KeyboardInterrupt('of the call')

        def fail():
            raise error

        self.assertIs(error, self.assertRaises(
            KeyboardInterrupt, self.leave.unless_left, fail))

    def test_a_call_that_is_left_goes_on(self):
        begun, may_end, ended = (threading.Event() for _ in range(3))

        def call():
            begun.set()
            may_end.wait(LONG_S)
            ended.set()

        with futures.ThreadPoolExecutor(1) as other:
            waiting = other.submit(self.leave.unless_left, call)
            self.assertTrue(begun.wait(LONG_S))
            self.leave.give()
            self.assertIsInstance(waiting.exception(LONG_S), leaving.Left)
        self.assertFalse(ended.is_set())
        may_end.set()
        self.assertTrue(ended.wait(LONG_S))

    def test_what_was_left_before_is_not_called(self):
        self.leave.give()
        self.assertRaises(leaving.Left, self.leave.unless_left, lambda: self.fail('called'))

    def test_it_is_told_once_to_who_asked_before_and_to_who_asks_later(self):
        told = []
        self.leave.when_given(lambda: told.append('before'))
        self.assertEqual((False, []), (self.leave.is_given, told))
        self.leave.give()
        self.leave.give()
        self.assertEqual((True, ['before']), (self.leave.is_given, told))
        self.leave.when_given(lambda: told.append('after'))
        self.assertEqual(['before', 'after'], told)
