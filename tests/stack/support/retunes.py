# SPDX-License-Identifier: Apache-2.0
"""Retuning a migration that would never end, through Nova's API; on more than one release."""

from __future__ import annotations

from keystoneauth1 import exceptions

from lab import client as lab_client
from tests.stack.support import phases
from tests.stack.support import steering


class Retune(phases.InPhase):
    """Shorthands."""

    def progress(self, run):
        return self.admin.forecast(run.server, run.migration)


class RetuneTests(Retune):
    """What must work everywhere."""

    def test_on_demand_and_refused_in_post_copy(self):
        run = self.in_passes(on_timeout='post_copy')
        self.stack.hosts.shape('n1', rate_mib_s=8)
        self.addCleanup(self.stack.hosts.shape, 'n1')
        told = self.admin.act(run.server, run.migration, 'post_copy')
        self.assertEqual(('post_copy', 'passes'), (told['name'], told['phase']))
        # Nova's record follows: it is saved beside the watching.
        lab_client.wait(lambda: self.progress(run),
                        lambda found: (found['phase'], found['status']) == (
                            'post-copy', 'running (post-copy)'),
                        steering.MIGRATION_TIMEOUT_S, 'phase and status to be post-copy')
        for command in (lambda: self.admin.abort(run.server, run.migration),
                        lambda: self.admin.force_complete(run.server, run.migration),
                        lambda: self.tune(run, bandwidth_mib_s=40),
                        lambda: self.admin.act(run.server, run.migration, 'pause')):
            refused = self.assertRaises(exceptions.Conflict, command)
            self.assertIn('post-copy', refused.response.text)
        self.stack.hosts.shape('n1')
        self.assert_moved(self.finish(run))

    def test_a_policy_for_one_request(self):
        run = self.start(**phases.ENDLESS, migpolicy={'remedies': ['downtime'],
                                                      'max_downtime_ms': 2500})
        self.assert_moved(self.finish(run))
        [start] = run.records('start')
        self.assertEqual('request', start['origins']['remedies'])
        self.assertEqual({'set_max_downtime'}, set(run.actions))


class ByRequestTests(RetuneTests):
    """What the commands are tested with as well, where they are."""

    def test_bandwidth_and_it_finishes(self):
        run = self.in_passes(max_bandwidth_mib_s=400, max_downtime_ms=1000)
        told = self.tune(run, bandwidth_mib_s=400)
        self.assertEqual(({'bandwidth_mib_s': 400}, {'bandwidth_mib_s': 400}),
                         (told['applied'], told['held']))
        self.assert_moved(self.finish(run))
        self.assertEqual({'set_bandwidth', 'set_max_downtime'} | set(run.actions),
                         {'set_bandwidth', 'set_max_downtime'})
        self.assert_promise(run, 1000)

    def test_held_and_released(self):
        run = self.in_passes(max_bandwidth_mib_s=400, max_downtime_ms=1000)
        self.tune(run, bandwidth_mib_s=45, remedies=['bandwidth'])
        shown = self.admin.policy(run.server, run.migration)['fields']
        self.assertEqual((50, 45), (shown['bandwidth_mib_s']['value'],
                                    shown['bandwidth_mib_s']['held']))
        self.assertEqual('retune', shown['remedies']['origin'])
        lab_client.wait(lambda: self.progress(run)['pass_number'] or 0,
                        lambda number: number >= 5, steering.MIGRATION_TIMEOUT_S, 'five passes')
        self.assertNotIn('raise_bandwidth', [d['rule'] for d in run.records('decision')])
        self.assertEqual({}, self.tune(run, release=['bandwidth_mib_s'])['held'])
        self.assert_moved(self.finish(run))
        self.assertIn('raise_bandwidth', [d['rule'] for d in run.records('decision')])
