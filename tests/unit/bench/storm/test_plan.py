# SPDX-License-Identifier: Apache-2.0
"""The guests of the storm, and what is set for each configuration."""

from __future__ import annotations

import testtools

from bench.storm import plan
from lab import guests
from lab import needs


class TestLoads(testtools.TestCase):

    def test_twelve_that_fit(self):
        self.assertEqual(12, len(plan.LOADS))
        self.assertEqual(12, len({one.name for one in plan.LOADS}))
        for load in plan.LOADS:
            self.assertLessEqual(load.guest.memory_mib, 96)
            phases, _ = load.guest.phases()
            room = load.guest.memory_mib - guests.RESERVED_MIB
            self.assertTrue(all(phase.set_mib <= room for phase in phases), load)

    def test_some_write_faster_than_their_share_and_none_faster_than_the_link(self):
        rates = [load.guest.rate_mib_s for load in plan.LOADS]
        self.assertLess(max(rates), plan.LINK_MIB_S)
        self.assertGreater(sum(rates), 2 * plan.LINK_MIB_S)
        self.assertEqual(6, sum(rate > plan.LINK_MIB_S / 4 for rate in rates))
        self.assertEqual(7, sum(rate > plan.LINK_MIB_S / 12 for rate in rates))

    def test_both_sources_have_as_many(self):
        self.assertEqual(['n1', 'n2', 'n1', 'n2'], [plan.source(one) for one in range(4)])

    def test_the_first_ones(self):
        self.assertEqual(plan.LOADS[:3], plan.loads(3))
        for wrong in (0, 13):
            found = self.assertRaises(needs.LabError, plan.loads, wrong)
            self.assertIn('--guests', str(found))

    def test_ideal(self):
        load = plan.Load('idle', guests.Guest('idle', 52))
        self.assertEqual(50 * 256 * 4104, load.ideal_bytes)
        self.assertAlmostEqual(2 * 4104 / 4096, plan.ideal_s((load, load)))

    def test_what_it_does(self):
        self.assertEqual('idle', plan.LOADS[0].told())
        self.assertEqual('sweep 32 MiB at 20 MiB/s', plan.LOADS[1].told())


class TestConfigs(testtools.TestCase):

    def test_ours_has_a_limit_at_the_destination_and_nothing_before_it(self):
        config = plan.Config('migpolicy', 2)
        self.assertEqual(('ours-2', 2), (config.name, config.limit))
        conf = config.nova_conf()
        self.assertEqual({'max_incoming': 2, 'max_outgoing': 12}, conf['migpolicy'])
        self.assertEqual(12, conf['DEFAULT']['max_concurrent_live_migrations'])
        # One processor takes the guests of all.
        self.assertEqual(len(plan.LOADS), conf['DEFAULT']['cpu_allocation_ratio'])
        self.assertEqual('max_incoming 2, max_outgoing 12', config.told())

    def test_stock_has_one_of_each_source(self):
        stock = [one for one in plan.CONFIGS if one.driver == 'stock']
        self.assertEqual(['stock-1', 'stock-4', 'stock-12'], [one.name for one in stock])
        self.assertEqual([1, 2, 6], [
            one.nova_conf()['DEFAULT']['max_concurrent_live_migrations'] for one in stock])
        # Less than two are not to be had of two sources.
        self.assertEqual([2, 4, 12], [one.limit for one in stock])
        self.assertEqual('max_concurrent_live_migrations 2 at each source', stock[1].told())

    def test_by_name(self):
        self.assertEqual(list(plan.CONFIGS), plan.configs(None))
        self.assertEqual(['ours-4', 'stock-12'], [
            one.name for one in plan.configs(['stock-12', 'ours-4'])])
