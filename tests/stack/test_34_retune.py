# SPDX-License-Identifier: Apache-2.0
"""Retuning on Nova 34 with native threads: the whole of it."""

from __future__ import annotations

from keystoneauth1 import exceptions

from lab import client as lab_client
from tests.stack.support import retunes
from tests.stack.support import steering


class RetuneTest(retunes.RetuneTests, steering.SteeringTest):

    def test_downtime_and_it_finishes(self):
        run = self.in_passes()
        told = self.tune(run, max_downtime_ms=2500)
        self.assertEqual({'max_downtime_ms': 2500}, told['applied'])
        self.assert_moved(self.finish(run))
        # More than once where the machine was so busy that it needed a longer one after all.
        self.assertEqual({'set_max_downtime'}, set(run.actions))
        self.assert_promise(run, 2500)

    def test_another_profile_and_deadline(self):
        run = self.in_passes()
        self.tune(run, profile='suspend_if_needed')
        self.assert_moved(self.finish(run))
        self.assertIn('pause', run.actions)

    def test_no_remedy_by_its_word(self):
        run = self.start(on_stall='continue', timeout_seconds=600, migpolicy={'remedies': 'none'})
        self.admin.wait_migration(run.server, run.migration, status={'running'})
        fields = self.admin.policy(run.server, run.migration)['fields']
        self.assertEqual(([], 'request'), (
            fields['remedies']['value'], fields['remedies']['origin']))
        for wrong in (['none', 'bandwidth'], 'bandwidth'):
            refused = self.assertRaises(exceptions.BadRequest, self.tune, run, remedies=wrong)
            self.assertIn('none', refused.response.text)
        lab_client.wait(lambda: self.progress(run),
                        lambda found: found['phase'] in ('bulk copy', 'passes'),
                        steering.MIGRATION_TIMEOUT_S, 'memory to be sent')
        self.tune(run, remedies=['downtime'], max_downtime_ms=300)
        self.tune(run, remedies=['none'])
        self.assertEqual([], self.admin.policy(
            run.server, run.migration)['fields']['remedies']['value'])
        self.admin.abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))

    def test_final_figures_and_timeline_afterwards(self):
        run = self.in_passes(max_bandwidth_mib_s=400, max_downtime_ms=1000)
        seen, ends = [], []
        self.tune(run, bandwidth_mib_s=400)

        def look():
            found = self.progress(run)
            seen.append(found['percent'])
            ends.extend((found['eta_seconds'] or {}).values())
            return found

        found = lab_client.wait(look, lambda found: found['phase'] == 'done',
                                steering.MIGRATION_TIMEOUT_S, 'the phase done')
        self.assertEqual(sorted(seen), seen)
        self.assertEqual([], [end for end in ends if end is not None and end < 0.1])
        self.assertEqual(('completed', 100.0), (found['outcome'], found['percent']))
        final = found['final']
        self.assertGreater(final['total_seconds'], 5)
        self.assertGreater(final['memory_sent_bytes'], steering.BUSY.memory_mib << 20)
        self.finish(run)
        self.assertLess(abs(final['downtime_ms'] - run.beats.blackout_ms), 300)
        kinds, numbers, query = set(), [], {'limit': 5}
        while query:
            page = self.admin.timeline(run.server, run.migration, **query)
            kinds |= {record['kind'] for record in page['timeline']}
            numbers += [record['number'] for record in page['timeline']]
            query = {'limit': 5, 'marker': numbers[-1]} if page.get('timeline_links') else None
        self.assertEqual(list(range(1, len(numbers) + 1)), numbers)
        self.assertLessEqual({'start', 'sample', 'decision', 'action', 'retune', 'end'}, kinds)
        refused = self.assertRaises(exceptions.Conflict, self.tune, run, bandwidth_mib_s=60)
        self.assertIn('done', refused.response.text)

    def test_what_the_operator_forbids(self):
        run = self.in_passes(max_bandwidth_mib_s=100)
        for wrong, words in (({'bandwidth_mib_s': 101}, 'max_bandwidth_mib_s'),
                             ({'bandwidth_mib_s': 'fast'}, 'bandwidth_mib_s'),
                             ({'profile': 'nova'}, 'profile'), ({'profile': 'none'}, 'profile'),
                             ({'release': ['speed']}, 'release')):
            refused = self.assertRaises(exceptions.BadRequest, self.tune, run, **wrong)
            self.assertIn(words, refused.response.text)
        self.assertEqual([], run.actions)
        self.admin.abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))

    def test_pause_on_demand(self):
        run = self.in_passes()
        self.admin.act(run.server, run.migration, 'pause')
        self.assert_moved(self.finish(run))
        self.assertEqual(['pause'], run.actions)
