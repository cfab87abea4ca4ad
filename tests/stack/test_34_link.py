# SPDX-License-Identifier: Apache-2.0
"""The rate of the link is learnt from one migration, and keeps the promise of the next."""

from __future__ import annotations

from lab import guests
from tests.stack.support import steering

MIB = 1 << 20
RATE_MIB_S = 100


class LinkTest(steering.SteeringTest):

    nova_conf = {'libvirt': {'live_migration_bandwidth': steering.CAP_MIB_S}}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Whatever other tests' migrations showed of the links, which were faster.
        for host in steering.HOSTS:
            cls.stack.state_path(host).joinpath('migpolicy', 'links.json').unlink(missing_ok=True)
        cls.stack.restart()

    def test_it_is_learnt_and_used(self):
        self.stack.hosts.shape('n1', rate_mib_s=RATE_MIB_S)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        quiet = guests.Guest(kind='sweep', memory_mib=256, set_mib=8, rate_mib_s=4)
        first = self.finish(self.start(quiet, bandwidth_mib_s=0, max_bandwidth_mib_s=0))
        self.assert_moved(first)
        held = first.records('link')[-1]['held_mib_s']
        self.assertLessEqual(held, RATE_MIB_S)
        # A dense guest gets nearly all of it, but for a machine that is too busy to send as much.
        [end] = first.records('end')
        got = end['memory_sent_bytes'] / MIB / end['elapsed_ms'] * 1000
        self.assertGreater(held, 0.7 * got)
        second = self.finish(self.start(remedies='downtime', max_downtime_ms=3500))
        [start] = second.records('start')
        self.assertAlmostEqual(held, start['facts']['link_mib_s'], places=0)
        self.assert_moved(second)
        self.assertEqual({'set_max_downtime'}, set(second.actions))
        self.assert_promise(second, 3500)
