# SPDX-License-Identifier: Apache-2.0
"""What is learnt of a link on real hosts, and migrations for which it is not so."""

from __future__ import annotations

from nova_migpolicy.engine.estimation import link_rate
from nova_migpolicy.monitor import link_rates
from nova_migpolicy.monitor import outcome as outcome_mod
from nova_migpolicy import vocabulary
from tests.lab import base
from tests.lab import cases
from tests.lab import steered

LINK_MIB_S = 50
#: QEMU looks through pages of zeros for longer than a pass has to last to count
UNTOUCHED_MIB = 12 << 10


class BeliefsTest(cases.CommandsTest):

    def setUp(self):
        super().setUp()
        self.links = link_rates.LinkRates(None)

    def move(self, **policy):
        moving = steered.Move(self.guest, links=self.links, **policy)
        self.addCleanup(moving.stop)
        return moving

    def completed(self, **policy):
        moving = self.move(**policy)
        ended = moving.wait()
        self.assertIs(outcome_mod.End.COMPLETED, ended.end, ended.reason)
        self.assert_at('n2', moving)
        return moving

    def believed(self, rate):
        """Let two servers have seen this rate of the link to n2."""
        for server in ('a', 'b'):
            self.links.learn('n2', server, rate, is_bound=False)

    def test_memory_that_was_never_touched_teaches_nothing(self):
        self.boot('idle', memory_mib=96, unknown_mib=UNTOUCHED_MIB)
        moving = self.completed()
        # Nearly all of it is the bulk copy, which lasted long enough to be taken for a
        # measurement, and was none. Its end may be over before a busy host can look at it.
        [end] = moving.records('end')
        self.assertGreaterEqual(end['elapsed_ms'] - end['downtime_ms'],
                                2000 * link_rate.LEAST_PASS_S)
        self.assertIsNone(self.links.get('n2'))

    def test_memory_that_is_all_in_use_does(self):
        self.shape(rate_mib_s=LINK_MIB_S)
        self.boot(memory_mib=96, set_mib=32)
        # A busy host may look too late at the end of one pass, but not of several.
        moving = self.move(remedies='none', on_stall='continue', on_timeout='continue')
        self.in_pass(moving, 4)
        moving.act(vocabulary.PAUSE)
        self.assertIs(outcome_mod.End.COMPLETED, moving.wait().end)
        self.assert_at('n2', moving)
        found = self.links.get('n2').low_mib_s
        self.assertTrue(0.7 * LINK_MIB_S < found < LINK_MIB_S, found)

    def test_a_belief_that_is_far_too_low_keeps_no_permitted_rate_from_being_tried(self):
        self.shape(rate_mib_s=LINK_MIB_S)
        self.believed(8.67)
        self.boot(memory_mib=96, set_mib=32, rate_mib_s=25)
        moving = self.completed(bandwidth_mib_s='20', max_bandwidth_mib_s='45',
                                remedies='bandwidth,downtime', on_stall='abort')
        self.assertIn('set_bandwidth', moving.done)
        self.assert_promised(500)

    def test_nor_a_migration_without_a_cap_from_its_end(self):
        self.believed(8.67)
        self.boot(memory_mib=96, set_mib=24, rate_mib_s=60)
        self.completed(remedies='none', on_stall='abort')
        self.assert_promised(500)


class BeliefsTrixieTest(base.Trixie, BeliefsTest):
    """The same where QEMU could be told of the link itself."""
