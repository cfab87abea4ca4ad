# SPDX-License-Identifier: Apache-2.0
"""The busy guest completes by each single permitted remedy, or is stopped early."""

from __future__ import annotations

import dataclasses

import json

from nova_migpolicy.engine.steering import convergence
from tests.stack.support import steering

MIB = 1 << 20
EXPLAINED = 'compute_live_migration_policy'


class RemedyTests:
    """On each release: what comes by events, what changes the host, what stops it."""

    def test_bandwidth(self):
        # In the middle between the cap and the link's rate, for a second is measured as long as it
        # lasts on a busy machine.
        guest = dataclasses.replace(steering.BUSY, rate_mib_s=60)
        run = self.finish(self.start(guest, remedies='bandwidth', bandwidth_mib_s=30,
                                     max_bandwidth_mib_s=400, max_downtime_ms=1000))
        self.assert_moved(run)
        self.assertEqual({'set_bandwidth'}, set(run.actions) - {'set_max_downtime'})
        self.assert_promise(run, 1000)
        # QEMU measured it before the start, from samples, and that was enough to know.
        [start] = run.records('start')
        measured = start['facts']['dirtied_bytes'] / MIB
        self.assertLess(abs(measured - guest.rate_mib_s), 30)
        self.assertIn('before the start the guest dirtied', run.records('decision')[0]['reason'])

    def test_post_copy(self):
        run = self.finish(self.start(remedies='post_copy', max_downtime_ms=1000))
        self.assert_moved(run)
        self.assertEqual(['start_post_copy'], run.actions)
        self.assert_promise(run, 1000)

    def test_nothing_permitted_is_stopped_early_and_explained(self):
        run = self.finish(self.start(remedies='none'))
        self.assert_stayed(run)
        [decision] = run.records('decision')
        self.assertEqual('on_stall', decision['rule'])
        self.assertIn('MiB', decision['reason'])
        # libvirt counts the bulk copy as the first pass. Two more are enough, unless what is
        # left at their ends still falls: then a third has to show that it does not.
        # One at whose begin libvirt told nothing, or told of the next one, shows nothing.
        left = {s['iteration']: s.get('memory_remaining_bytes') for s in run.records('sample')
                if s['boundary'] and s['at'] <= decision['at']}
        falls = None in (left.get(3), left.get(4)) or (
            left[4] < convergence.FALLING_A_PASS * left[3])
        self.assertLessEqual(max(left), 5 if falls else 4, left)
        self.assertIn(decision['reason'], self.stack.log(run.source).read_text())
        [end] = run.records('end')
        self.assertEqual(('cancelled', decision['reason']), (end['outcome'], end['reason']))
        events = [event for action in self.admin.actions(run.server)
                  for event in action['events']]
        details = [event['details'] for event in events
                   if event['event'] == EXPLAINED]
        self.assertEqual([decision['reason'][:255]], details)
        self.assert_told_in_the_list_of_actions(run, decision['reason'])

    def assert_told_in_the_list_of_actions(self, run, reason, user='admin', version='2.84'):
        """As the docs tell it; the reason is None where it is not told."""
        [request] = [action['request_id'] for action in self.admin.actions(run.server)
                     if any(event['event'] == EXPLAINED for event in action['events'])]
        shown = json.loads(self.stack.cli(
            ['openstack', '--os-compute-api-version', version, 'server', 'event', 'show',
             run.server, request, '-f', 'json'], user).stdout)
        [event] = [one for one in shown['events'] if one['event'] == EXPLAINED]
        self.assertEqual(('Error', reason and reason[:255]), (event['result'], event['details']))


class EachRemedyTests(RemedyTests):
    """The rest is the engine's, whatever Nova is around it."""

    def test_downtime(self):
        run = self.finish(self.start(remedies='downtime', max_downtime_ms=2000))
        self.assert_moved(run)
        self.assertEqual({'set_max_downtime'}, set(run.actions))
        self.assert_promise(run, 2000)

    def test_auto_converge(self):
        run = self.finish(self.start(
            remedies='auto_converge', max_throttle_percent=90, max_downtime_ms=1000))
        self.assert_moved(run)
        self.assertEqual({'set_throttle'}, set(run.actions))
        self.assert_promise(run, 1000)

    def test_pause_says_what_it_costs(self):
        run = self.finish(self.start(remedies='pause'))
        self.assert_moved(run)
        self.assertEqual(['pause'], run.actions)
        [decision] = [d for d in run.records('decision') if d['rule'] == 'pause']
        self.assertIn('blackout', decision['reason'])

    def test_a_guest_that_converges_is_left_alone(self):
        guest = steering.guests.Guest(kind='sweep', memory_mib=128, set_mib=32, rate_mib_s=10)
        run = self.finish(self.start(guest, remedies='bandwidth,downtime,auto_converge,'
                                     'post_copy,pause', max_bandwidth_mib_s=400))
        self.assert_moved(run)
        self.assertEqual([], run.records('decision'))
        self.assertEqual([], run.actions)
        self.assert_promise(run, 500)
