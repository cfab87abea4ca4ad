# SPDX-License-Identifier: Apache-2.0
"""The bench of the slots: its figures, the story of a seed, and what it says of one that fails."""

import argparse
import pathlib
from unittest import mock

import testtools

from bench import slots
from lab import needs
from nova_migpolicy.capacity import limits


class TestSlots(testtools.TestCase):

    def measure(self, *words):
        parser = argparse.ArgumentParser()
        slots.arguments(parser)
        self.said = []
        return slots.measure(pathlib.Path('unused'), parser.parse_args(words), self.said.append)

    def test_figures(self):
        with mock.patch.multiple(slots, QUEUES=(20, 40), TIMED=50):
            found = self.measure('--seeds', '2', '--events', '300', '--hosts', '3')
        self.assertEqual([], found['failed'])
        self.assertEqual([20, 40], [one['waiting'] for one in found['queues']])
        self.assertGreater(found['counts']['granted'], 0)
        told = slots.lines(found)
        self.assertEqual('seeds 0 to 1, 3 hosts: 0 failed', told[0])
        self.assertEqual([2, 2], [len(self.said), len(found['plays'])])

    def test_a_queue_stays_as_long_as_it_is(self):
        """What is timed is a queue of that length, in which slots are taken and given back."""
        crowd = slots._Crowd(50)
        for kind in (crowd.comes,) * 50 + (crowd.comes, crowd.polls, crowd.take, crowd.ends,
                                           crowd.is_cancelled) * 20:
            for message in kind():
                self.assertEqual('', crowd.machine.receive(limits.LEASE_S + 1, message).refused)
        self.assertEqual(2, crowd.machine.used)
        self.assertAlmostEqual(50, crowd.machine.waiting, delta=25)

    def test_the_story_of_a_seed(self):
        found = self.measure('--seed', '3', '--events', '300', '--hosts', '3')
        told = slots.lines(found)
        self.assertEqual('seed 3: all holds', told[0])
        self.assertTrue(any('the calm begins' in line for line in told))

    def test_a_seed_that_fails_is_told_and_replays(self):
        with mock.patch.multiple(slots, QUEUES=(), TIMED=1), mock.patch.object(
                limits, 'has_room', lambda used, limit: True):
            words = ('--events', '600', '--hosts', '3')
            found = self.measure('--seeds', '4', '--seed', '1', *words)
            self.assertTrue(found['failed'])
            words = ('--seed', str(found['failed'][0]), *words)
            said = next(line for line in self.said if 'python' in line)
            self.assertIn(f'python -m bench slots {" ".join(words)}', said)
            again = self.measure(*words)
        self.assertIn(again['broken'], said)
        self.assertIn(f'VIOLATION: {again["broken"]}', again['lines'][-1])

    def test_nonsense(self):
        for words in (('--seeds', '0'), ('--hosts', '1'), ('--events', '0')):
            self.assertRaises(needs.LabError, self.measure, *words)
