# SPDX-License-Identifier: Apache-2.0
"""The examples in the docs are real answers: each has the form of what is answered here.

With MIGPOLICY_WRITE_SAMPLES=1 in the environment the answers are written to doc/source/samples
instead of being compared with what is there. The requests are read from there as well.
"""

from __future__ import annotations

import json
import os
import pathlib

from lab import client as lab_client
from tests.stack.support import phases
from tests.stack.support import steering

SAMPLES = pathlib.Path(__file__).parents[2] / 'doc/source/samples'
WRITE = os.environ.get('MIGPOLICY_WRITE_SAMPLES') == '1'
# What is in these depends on what is known, or was done.
OPEN = ('forecast', 'actions')


def differences(sample, real, where):
    """Where two answers differ in form; None stands for any value."""
    if sample is None or real is None:
        return
    numbers = (int, float)
    if isinstance(sample, dict) and isinstance(real, dict):
        for name in sorted(set(sample) ^ set(real)):
            yield f'{where}.{name} is in {"the sample" if name in sample else "the answer"} alone'
        for name in (set(sample) & set(real)).difference(OPEN):
            yield from differences(sample[name], real[name], f'{where}.{name}')
    elif isinstance(sample, list) and isinstance(real, list):
        if sample and real:
            yield from differences(sample[0], real[0], f'{where}[0]')
    elif type(sample) is not type(real) and not (
            type(sample) in numbers and type(real) in numbers):
        yield f'{where}: {sample!r} and {real!r}'


class SamplesTest(phases.InPhase, steering.SteeringTest):

    def request(self, name):
        return json.loads((SAMPLES / f'{name}-req.json').read_text())

    def check(self, name, method, path, code, body=None):
        """Send it; its answer has the form of a sample."""
        answer = self.admin.answer(method, path, **({} if body is None else {'json': body}))
        self.assertEqual(code, answer.status_code, answer.text)
        real, sample = answer.json(), SAMPLES / f'{name}-resp.json'
        if WRITE:
            sample.write_text(json.dumps(real, indent=4) + '\n')
        wrong = list(differences(json.loads(sample.read_text()), real, name))
        self.assertEqual([], wrong, '\n'.join(wrong))
        return real

    def test_each_answer_has_the_form_of_its_sample(self):
        run = self.start(migpolicy=self.request('migrate-live')['os-migrateLive']['migpolicy'])
        path = f'/servers/{run.server}/migrations/{run.migration}'
        lab_client.wait(
            lambda: [s for s in run.records('sample') if (s.get('iteration') or 0) > 2], bool,
            steering.MIGRATION_TIMEOUT_S, 'the passes')
        self.check('policy-get', 'GET', f'{path}/policy', 200)
        self.check('tuning-put', 'PUT', f'{path}/tuning', 200, self.request('tuning-put'))
        self.check('progress-get', 'GET', f'{path}/progress', 200)
        self.check('tuning-release', 'PUT', f'{path}/tuning', 200,
                   self.request('tuning-release'))
        page = self.check('timeline-get', 'GET', f'{path}/timeline?kind=decision&limit=1', 200)
        self.assertEqual(1, len(page['timeline']))
        self.check('error-bad-request', 'PUT', f'{path}/tuning', 400,
                   {'tuning': {'max_downtime_ms': 0}})
        self.check('action-post-copy', 'POST', f'{path}/action', 202,
                   self.request('action-post-copy'))
        self.finish(run)
        self.check('progress-ended-get', 'GET', f'{path}/progress', 200)
        self.check('error-conflict', 'PUT', f'{path}/tuning', 409, self.request('tuning-put'))
        # Back, and cancelled with all that leave that host.
        back = self.admin.live_migrate(run.server)
        self.admin.wait_migration(run.server, back, status={'running'})
        cancel = self.request('cancel-host')
        cancel['cancel']['host'] = run.destination
        done = self.check('cancel', 'POST', '/os-migrations/cancel', 200, cancel)
        self.assertEqual(1, len(done['cancelled']))
        self.admin.wait_migration(run.server, back)
        self.check('cancel-project', 'POST', '/os-migrations/cancel', 200,
                   self.request('cancel-project'))
