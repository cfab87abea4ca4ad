# SPDX-License-Identifier: Apache-2.0
"""Orders while what carries them out, or writes it down, does not answer; on several releases."""

from __future__ import annotations

import functools

from keystoneauth1 import exceptions

from lab import client as lab_client
from tests.stack.support import cancels
from tests.stack.support import steering

LIBVIRTD, CONDUCTOR = 'libvirtd', 'nova-conductor'
TIMEOUT_S, SOON_S = 60.0, 30.0


class OrderTests(cancels.Cancel):
    """None is lost, each is answered truly, and nothing of it is an error of Nova's."""

    def setUp(self):
        super().setUp()
        self.logged = {name: len(self.stack.log(name).read_text()) for name in steering.HOSTS}

    def assert_no_traceback(self, host='n1'):
        self.assertNotIn('Traceback', self.stack.log(host).read_text()[self.logged[host]:])

    def texts(self, run):
        return [record['text'] for record in run.records('event')]

    def test_cancelled_as_soon_as_nova_says_that_it_runs(self):
        """Nova takes the cancel for one that runs; there is no job in libvirt yet."""
        before = self.in_passes()
        run = self.start(cancels.QUIET)
        self.in_phase(run, 'waiting for a slot')
        preparing = self.stop(self.stack.hosts['n2'].machine, 'nova-compute')
        self.admin.abort(before.server, before.migration)
        self.admin.wait_migration(before.server, before.migration)
        self.in_phase(run, 'preparing')
        # The destination is to prepare it, and then the source's libvirt is needed again.
        stopped = self.stop(self.stack.hosts['n1'].machine, LIBVIRTD)
        self.go(preparing)
        self.admin.wait_migration(run.server, run.migration, status=('running',))
        self.admin.abort(run.server, run.migration)
        self.go(stopped)
        self.assert_cancelled(run)
        self.assertIn('API', run.records('end')[0]['reason'])
        self.assert_no_traceback()
        self.assert_stayed(self.finish(before))

    def test_a_libvirt_that_does_not_answer_is_said_and_keeps_no_order_from_its_answer(self):
        run = self.in_passes()
        stopped = self.stop(self.stack.hosts['n1'].machine, LIBVIRTD)
        found = lab_client.wait(
            lambda: self.admin.forecast(run.server, run.migration),
            lambda found: 'has not answered' in (found['waits_for'] or ''), TIMEOUT_S,
            'the progress to say that libvirt does not answer')
        self.assertEqual(('running', 'passes'), (found['status'], found['phase']))
        lab_client.wait(lambda: self.texts(run), lambda texts: any(
            'libvirt, which has not answered' in text for text in texts), TIMEOUT_S,
            'the timeline to say so')
        told = self.admin.tune(run.server, run.migration, bandwidth_mib_s=45)
        self.assertTrue(told['pending'])
        self.assertIn('has not answered', told['reason'])
        self.admin.abort(run.server, run.migration)
        self.go(stopped)
        self.assert_stayed(self.finish(run))
        self.assertTrue(any('has answered' in text or 'without an answer' in text
                            for text in self.texts(run)), self.texts(run))
        self.assertIsNone(self.admin.forecast(run.server, run.migration)['waits_for'])
        self.assert_no_traceback()

    def test_a_conductor_that_does_not_answer_delays_no_order(self):
        """Nova's database cannot be reached from the host; the API can still ask the plugin."""
        run = self.in_passes()
        stopped = self.stop(self.stack.hosts.ctl, CONDUCTOR)
        # Until progress has been written in vain: it is at least every five seconds.
        seen = len(run.records('sample'))
        lab_client.wait(lambda: len(run.records('sample')), lambda count: count > seen + 3,
                        TIMEOUT_S, 'the monitor to go on')
        self.admin.abort(run.server, run.migration)
        # A save that waits for the conductor does so for 60 s.
        lab_client.wait(lambda: run.actions, lambda done: done == ['abort'], SOON_S,
                        'the abort, with the conductor still stopped')
        self.go(stopped)
        self.assert_stayed(self.finish(run))

    def test_a_policy_that_cannot_be_checked_is_refused_and_says_why(self):
        """A source host that cannot reach Nova's database is not one without the plugin."""
        stopped = []
        asked = functools.partial(
            self.start, cancels.QUIET, migpolicy={'timeout_seconds': 600},
            before=lambda server: stopped.extend(
                self.stop(self.stack.hosts.ctl, CONDUCTOR)))
        refused = self.assertRaises(exceptions.ServiceUnavailable, asked)
        self.assertIn('though it runs', refused.response.text)
        self.go(stopped)
        [server] = self.admin.compute('GET', '/servers?all_tenants=1')['servers']
        self.assertEqual([], self.admin.migrations(server['id']))
