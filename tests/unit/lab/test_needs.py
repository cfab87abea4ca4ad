# SPDX-License-Identifier: Apache-2.0
"""How long the lab pauses until it looks again."""

import testtools

from lab import needs


class TestPause(testtools.TestCase):

    def test_it_is_a_tenth_of_the_wait_within_bounds(self):
        self.assertEqual([0.2, 0.2, 0.5, 1.0, 1.0], [
            needs.pause_s(waited_s, 0.2, 1.0) for waited_s in (0, 1.5, 5, 10, 600)])
