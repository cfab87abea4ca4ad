# SPDX-License-Identifier: Apache-2.0
"""Migrations of one host that share its link, through Nova: the oldest in need goes first."""

from __future__ import annotations

from lab import client as lab_client
from lab import guests
from tests.stack.support import steering

LINK_MIB_S = 30
#: in their bulk copies, until all are there: one that ends just when another begins to send is not
#: what this is about
SLOW_MIB_S = 3
COUNT = 3
# More than is needed where one has the link to itself, so that a busy machine keeps it, too.
PROMISE_MS = 2000
#: arrives alone by its blackout, and not with a half or a third of the link; writes so fast that
#: a busy machine, on which it writes less, changes nothing of that
GUEST = guests.Guest(kind='sweep', memory_mib=96, set_mib=40, rate_mib_s=80)


class TogetherTest(steering.SteeringTest):
    """Under eventlet, where what tells one of another goes from one thread to the next."""

    nova = '34'
    threads = False
    # Nova would send them one after the other.
    nova_conf = {'DEFAULT': {'max_concurrent_live_migrations': COUNT},
                 'migpolicy': {'link_mib_s': LINK_MIB_S}}

    @staticmethod
    def sends(run):
        return any(s.get('memory_remaining_bytes') for s in run.records('sample'))

    def test_several_over_one_link_all_arrive(self):
        self.stack.hosts.shape('n1', rate_mib_s=SLOW_MIB_S)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        runs = []

        def start(number):
            # All are there before the first is sent.
            if number:
                runs.append(self.start(
                    GUEST, profile='balanced', max_downtime_ms=PROMISE_MS,
                    before=lambda server: start(number - 1)))

        start(COUNT)
        lab_client.wait(
            lambda: [self.sends(run) for run in runs], all, steering.MIGRATION_TIMEOUT_S,
            'the memory of all to be copied')
        self.stack.hosts.shape('n1', rate_mib_s=LINK_MIB_S)
        for run in runs:
            self.assert_moved(self.finish(run))
            self.assertEqual(set(), set(run.actions) - {'set_bandwidth', 'set_max_downtime'})
            self.assert_promise(run, PROMISE_MS)
            # It was told of the others. Whether one has to give way hangs on how much of the
            # machine the guests get to write with.
            self.assertTrue(any(sample.get('others') for sample in run.records('sample')))
