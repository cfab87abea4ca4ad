# SPDX-License-Identifier: Apache-2.0
"""The memory: what is still to be sent."""

import testtools

from nova_migpolicy.sim import guests
from nova_migpolicy.sim import memory as memory_mod


class TestMemory(testtools.TestCase):

    def test_what_rounding_leaves_of_pages_never_touched_holds_nothing_up(self):
        # Some thousandths of a byte were left over, and were to be sent for ever in no time.
        for short in (2.2e-9, 0.0):
            memory = memory_mod.Memory(guests.Workload(291_553, (), zero_mib=34_257))
            memory.send(257_296 - short)
            self.assertTrue(memory.zeros_ahead())
            memory.send(34_257 - short)
            self.assertFalse(memory.zeros_ahead())
            self.assertEqual(float('inf'), memory.until_zeros())
