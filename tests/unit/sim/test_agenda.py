# SPDX-License-Identifier: Apache-2.0
"""What happens when, and what the clock says."""

import testtools

from nova_migpolicy.sim import agenda as agenda_mod


class TestAgenda(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.agenda = agenda_mod.Agenda()
        self.seen = []

    def note(self, *what):
        self.seen.append((self.agenda.now_s, *what))

    def go(self, until_s=None):
        while self.agenda.step(until_s):
            pass

    def test_by_time(self):
        for seconds in (3.0, 1.0, 2.0):
            self.agenda.after(seconds, self.note, seconds, 'one')
        self.go()
        self.assertEqual([(at_s, at_s, 'one') for at_s in (1.0, 2.0, 3.0)], self.seen)

    def test_of_the_same_moment_the_first_added_is_first(self):
        """Also when another came between, and when the moment was counted from elsewhere."""
        self.agenda.after(1.0, self.agenda.after, 1.0, self.note, 'last')
        for name in 'zya':
            self.agenda.after(2.0, self.note, name)
            self.agenda.after(3.0, list)
        self.go(2.0)
        self.assertEqual([(2.0, 'z'), (2.0, 'y'), (2.0, 'a'), (2.0, 'last')], self.seen)

    def test_what_is_added_for_now_still_happens_now(self):
        self.agenda.after(1.0, self.agenda.after, 0.0, self.note)
        self.go(1.0)
        self.assertEqual([(1.0,)], self.seen)

    def test_one_at_a_time(self):
        self.agenda.after(1.0, self.note)
        self.agenda.after(2.0, self.note)
        self.assertTrue(self.agenda.step())
        self.assertEqual(([(1.0,)], 1, 1),
                         (self.seen, self.agenda.happened, len(self.agenda)))

    def test_until(self):
        """What is due at that very moment belongs to it; then the time is up, with or without."""
        self.agenda.after(1.0, self.note)
        self.agenda.after(1.5, self.note)
        self.assertTrue(self.agenda.step(1.0))
        self.assertEqual(1.0, self.agenda.now_s)
        self.assertFalse(self.agenda.step(1.25))
        self.assertEqual((1.25, 1, 1),
                         (self.agenda.now_s, self.agenda.happened, len(self.agenda)))
        self.go(9.0)
        self.assertEqual(([(1.0,), (1.5,)], 9.0), (self.seen, self.agenda.now_s))

    def test_the_clock_never_goes_back(self):
        self.go(5.0)
        self.go(2.0)
        self.assertEqual(5.0, self.agenda.now_s)

    def test_without_an_end_it_stands_still_when_nothing_is_left(self):
        self.agenda.after(1.0, self.note)
        self.go()
        self.assertFalse(self.agenda.step())
        self.assertEqual((1.0, 0), (self.agenda.now_s, len(self.agenda)))

    def test_one_that_fails_has_happened(self):
        self.agenda.after(1.0, self.seen.remove, 'what is not there')
        self.agenda.after(2.0, self.note)
        self.assertRaises(ValueError, self.agenda.step)
        self.assertEqual((1.0, 1), (self.agenda.now_s, self.agenda.happened))
        self.go()
        self.assertEqual([(2.0,)], self.seen)
