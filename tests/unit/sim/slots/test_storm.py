# SPDX-License-Identifier: Apache-2.0
"""One storm; what it finds is in tests/simulation/test_slots.py."""

from unittest import mock

import testtools

from nova_migpolicy.capacity import incoming
from nova_migpolicy.sim.slots import storm


class TestStorm(testtools.TestCase):

    def test_figures(self):
        played = storm.play(5, 400, 3)
        self.assertEqual('', played.broken)
        self.assertGreaterEqual(played.events, 400)
        self.assertGreater(played.counts['granted'], 0)
        self.assertGreater(played.waiting, 0)

    def test_one_that_does_not_hold(self):
        story = []
        with mock.patch.object(incoming.Incoming, '_fill', lambda self, now_s, sends: None):
            played = storm.play(5, 400, 3, story)
        self.assertTrue(played.broken)
        self.assertIn(f'VIOLATION: {played.broken}', story[-1])
