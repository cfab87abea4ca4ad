# SPDX-License-Identifier: Apache-2.0
"""The link: what arrives of what is sent."""

import math

import testtools

from nova_migpolicy.sim import link


class TestLink(testtools.TestCase):

    def test_steps_and_outages(self):
        one = link.Link(100, steps=((10.0, 50.0), (20.0, 200.0)), outages=((15.0, 25.0),))
        self.assertEqual([100, 50, 0, 0, 200],
                         [one.rate(at_s) for at_s in (9.9, 10.0, 15.0, 20.0, 25.0)])
        self.assertEqual([10, 15, 20, 25, math.inf],
                         [one.changes_at(at_s) for at_s in (0, 10, 15, 20, 25)])

    def test_arrival(self):
        one = link.Link(100, outages=((1.0, 3.0),))
        self.assertEqual(0.5, one.arrival(0.0, 50))
        self.assertEqual(3.5, one.arrival(0.0, 150))
        self.assertEqual(math.inf, link.Link(0).arrival(0.0, 1))
