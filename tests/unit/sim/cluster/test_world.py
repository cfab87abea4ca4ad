# SPDX-License-Identifier: Apache-2.0
"""Time, programs that die, freeze and call each other, and what may happen to a message."""

import testtools

from nova_migpolicy.sim.cluster import world as world_mod

SOURCE, DESTINATION, THIRD = world_mod.HOSTS


class WorldCase(testtools.TestCase):

    def setUp(self):
        super().setUp()
        self.world = world_mod.World(1)
        self.seen = []

    def count(self, number=3, seconds=1.0):
        for step in range(number):
            self.seen.append((round(self.world.now_s, 3), step))
            yield seconds

    def asks(self, program):
        self.seen.append((yield world_mod.Call(DESTINATION, 'something', program)))

    def answers(self, value='yes'):
        self.seen.append('asked')
        yield 0.1
        return value


class TestPrograms(WorldCase):

    def test_steps_are_at_their_times(self):
        self.world.run(SOURCE, self.count())
        self.world.go(1.5)
        self.assertEqual([(0.0, 0), (1.0, 1)], self.seen)
        self.assertEqual(1.5, self.world.now_s)
        self.world.go(9.0)
        self.assertEqual(3, len(self.seen))

    def test_what_died_does_not_go_on(self):
        self.world.run(SOURCE, self.count())
        self.world.go(0.5)
        self.world.kill(SOURCE)
        self.world.start(SOURCE)
        self.world.go(9.0)
        self.assertEqual([(0.0, 0)], self.seen)

    def test_it_dies_between_two_steps(self):
        died = []
        self.world.on_death = died.append
        self.world.computes[SOURCE].dies_in = 2
        self.world.run(SOURCE, self.count())
        self.world.go(9.0)
        self.assertEqual(([(0.0, 0), (1.0, 1)], [SOURCE]), (self.seen, died))
        self.assertFalse(self.world.computes[SOURCE].is_up)

    def test_what_is_frozen_goes_on_when_it_thaws(self):
        self.world.run(SOURCE, self.count())
        self.world.go(0.5)
        self.world.freeze(SOURCE)
        self.world.go(50.0)
        self.world.thaw(SOURCE)
        self.world.go(60.0)
        self.assertEqual([(0.0, 0), (50.0, 1), (51.0, 2)], self.seen)

    def test_a_start_needs_power(self):
        self.world.kill(SOURCE)
        self.world.powered[SOURCE] = False
        self.world.start(SOURCE)
        self.assertFalse(self.world.computes[SOURCE].is_up)

    def test_two_running_copies_end_it(self):
        self.world.qemus.third = True
        self.world.after(1.0, list)
        self.assertRaises(world_mod.Violation, self.world.go, 2.0)


class TestMessages(WorldCase):

    def test_an_answer(self):
        self.world.run(SOURCE, self.asks(self.answers))
        self.world.go(9.0)
        self.assertEqual(['asked', 'yes'], self.seen)

    def test_trouble_there_is_told(self):
        def fails():
            yield 0.1
            raise world_mod.Trouble('no')
        self.world.run(SOURCE, self.asks(fails))
        self.world.go(9.0)
        self.assertEqual('no', str(self.seen[0]))

    def test_nobody_answers(self):
        self.world.kill(DESTINATION)
        self.world.run(SOURCE, self.asks(self.answers))
        self.world.go(9.0)
        self.assertIsInstance(self.seen[0], world_mod.Trouble)
        self.assertEqual(1, len(self.seen))

    def test_one_that_is_frozen_answers_too_late(self):
        self.world.freeze(DESTINATION)
        self.world.run(SOURCE, self.asks(self.answers))
        self.world.go(20.0)
        self.world.thaw(DESTINATION)
        self.world.go(30.0)
        self.assertIsInstance(self.seen[0], world_mod.Trouble)
        self.assertEqual(['asked'], self.seen[1:])

    def test_lost_doubled_and_late(self):
        """Nothing else happens to them, and each of these does."""
        self.world.bad_messages = 1.0
        times = []
        for _ in range(60):
            self.seen.clear()
            self.world.deliver(DESTINATION, self.answers, None, 'something')
            self.world.go(self.world.now_s + 60.0)
            times.append(len(self.seen))
        self.assertEqual({0, 1, 2}, set(times))
