# SPDX-License-Identifier: Apache-2.0
"""Every peer steers the model: an easy guest moves, and a wild one ends as the rules say."""

import dataclasses

import testtools

from bench.contest import peers
from nova_migpolicy.engine import remedies
from nova_migpolicy.sim import guests
from nova_migpolicy.sim import precopy
from nova_migpolicy.sim import run
from tests.unit.bench.contest.peers import feed

EASY = guests.sweep(512, 32, 10)
WILD = guests.sweep(512, 256, 500)
PERMITTED = {'max_downtime_ms': 500, 'bandwidth_mib_s': 100}
DISRUPTIVE = {**PERMITTED, 'remedies': ('downtime', 'post_copy', 'pause')}


class TestPeers(testtools.TestCase):

    def steer(self, name, load, **values):
        start = peers.PEERS[name](feed.task(load.memory_mib, **values))
        setup = dataclasses.replace(
            precopy.Setup(load), cap_mib_s=start.bandwidth_mib_s, limit_ms=start.limit_ms,
            auto_converge=start.auto_converge, throttle_initial=start.throttle_initial,
            throttle_increment=start.throttle_increment,
            throttle_highest=start.throttle_highest, disk_cap_shared=start.disk_cap_shared)
        return run.steer(start.pilot, precopy.Migration(setup), tick_s=start.tick_s,
                         boundaries=start.boundaries)

    def ends(self, name, load, **values):
        went = self.steer(name, load, **values)
        return went.end, [feed.said(action) for action in went.actions][-1:], went.seconds

    def test_an_easy_guest_moves_with_each(self):
        for name in peers.PEERS:
            went = self.steer(name, EASY, **PERMITTED)
            self.assertEqual('completed', went.end, name)
            self.assertLess(went.seconds, 12, name)
            self.assertLess(went.blackout_ms, 500, name)

    def test_a_wild_guest_is_given_up_where_nothing_else_is_permitted(self):
        seconds = {'nova': 1601, 'nova_force': 1601, 'kubevirt': 152, 'kubevirt_ramp': 152,
                   'kubevirt_stall': 60}
        for name in peers.PEERS:
            end, last, took_s = self.ends(name, WILD, **PERMITTED)
            self.assertEqual(('aborted', ['abort']), (end, last), name)
            self.assertLess(took_s, seconds.get(name, 90), name)

    def test_a_wild_guest_where_disruption_is_permitted(self):
        post_copy = ('completed', ['post-copy'])
        aborted = ('aborted', ['abort'])
        for name in peers.PEERS:
            gives_up = name == 'nova' or name in ('vdsm_minimal', 'vdsm_suspend',
                                                  'vdsm_very_large')
            self.assertEqual(aborted if gives_up else post_copy,
                             self.ends(name, WILD, **DISRUPTIVE)[:2], name)

    def test_a_hard_stop_sends_the_rest_at_the_rate_of_the_link(self):
        went = self.steer('kubevirt_stall', WILD, **PERMITTED, remedies=('pause',))
        self.assertEqual('completed', went.end)
        self.assertEqual([remedies.Pause, remedies.SetMaxDowntime],
                         [type(action) for action in went.actions])
        # Up to 256 MiB at 1000 MiB/s, and one window; under the cap it would be 2.5 s.
        self.assertLess(went.blackout_ms, 450)

    def test_a_promise_is_kept_and_nothing_raises_the_rate(self):
        for name in peers.PEERS:
            for values in (PERMITTED, DISRUPTIVE):
                paused = False
                for action in self.steer(name, WILD, **{**values, 'max_downtime_ms': 130}).actions:
                    self.assertNotIsInstance(action, remedies.SetBandwidth, name)
                    paused = paused or isinstance(action, remedies.Pause)
                    if isinstance(action, remedies.SetMaxDowntime) and not paused:
                        self.assertLessEqual(action.limit_ms, 130, name)
