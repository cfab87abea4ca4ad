# SPDX-License-Identifier: Apache-2.0
"""The examples in the docs are real answers, but for those of recovery (`test_34_doors`)."""

from __future__ import annotations

from lab import client as lab_client
from tests.stack.support import phases
from tests.stack.support import samples
from tests.stack.support import steering


class SamplesTest(phases.InPhase, samples.Sampled):

    def test_each_answer_has_the_form_of_its_sample(self):
        run = self.start(migpolicy=self.request('migrate-live')['os-migrateLive']['migpolicy'])
        path = f'/servers/{run.server}/migrations/{run.migration}'
        lab_client.wait(
            lambda: [s for s in run.records('sample') if (s.get('iteration') or 0) > 2], bool,
            steering.MIGRATION_TIMEOUT_S, 'the passes')
        self.check_sample('policy-get', 'GET', f'{path}/policy', 200)
        self.check_sample('tuning-put', 'PUT', f'{path}/tuning', 200, self.request('tuning-put'))
        self.check_sample('progress-get', 'GET', f'{path}/progress', 200)
        self.check_sample('tuning-release', 'PUT', f'{path}/tuning', 200,
                          self.request('tuning-release'))
        page = self.check_sample('timeline-get', 'GET',
                                 f'{path}/timeline?kind=decision&limit=1', 200)
        self.assertEqual(1, len(page['timeline']))
        self.check_sample('error-bad-request', 'PUT', f'{path}/tuning', 400,
                          {'tuning': {'max_downtime_ms': 0}})
        self.check_sample('action-post-copy', 'POST', f'{path}/action', 202,
                          self.request('action-post-copy'))
        self.finish(run)
        self.check_sample('progress-ended-get', 'GET', f'{path}/progress', 200)
        self.check_sample('error-conflict', 'PUT', f'{path}/tuning', 409,
                          self.request('tuning-put'))
        # Back, and cancelled with all that leave that host.
        back = self.admin.live_migrate(run.server)
        self.admin.wait_migration(run.server, back, status={'running'})
        cancel = self.request('cancel-host')
        cancel['cancel']['host'] = run.destination
        done = self.check_sample('cancel', 'POST', '/os-migrations/cancel', 200, cancel)
        self.assertEqual(1, len(done['cancelled']))
        self.admin.wait_migration(run.server, back)
        self.check_sample('cancel-project', 'POST', '/os-migrations/cancel', 200,
                          self.request('cancel-project'))
