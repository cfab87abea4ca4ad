# SPDX-License-Identifier: Apache-2.0
"""The command that watches, through the true shell: lines, summary, exit status, Ctrl-C."""

from __future__ import annotations

import io
import json
from unittest import mock

from tests.unit.osc import cloud

WATCH = ('server', 'migration', 'watch', 'db-1')


def fault(code, message='no'):
    return cloud.Answer(code, {'fault': {'code': code, 'message': message}}, cloud.OURS)


class WatchingTest(cloud.CloudTest):

    def setUp(self):
        super().setUp()
        self.plugin('timeline', {'timeline': [cloud.record(3)]}, {'timeline': [
            cloud.record(5, 'action', action='set_bandwidth', mib_s=170, done=True)]},
            {'timeline': []})
        self.plugin('progress', cloud.progress(), cloud.progress(percent=60), cloud.done())
        self.hurry()

    def test_lines_and_a_summary(self):
        out = self.ok(*WATCH)
        lines = out.splitlines()
        words = [line.split(' ', 2)[1] for line in lines if line[2:3] == ':']
        self.assertEqual(['watching:', 'decision:', 'phase:', 'progress:', 'action:', 'phase:',
                          'outcome:'], words)
        self.assertIn('15:44:41 decision: raise_bandwidth: it would not finish', out)
        self.assertIn('15:44:41 action: set bandwidth 170 MiB/s: done', out)
        self.assertIn('outcome: completed after 31 s, blackout 286 ms, 501 MiB sent', out)
        self.assertRegex(out, r'\| blackout_ms +\| 286 ')
        self.assertLessEqual(max(map(len, lines)), 120)

    def test_the_timeline_is_asked_for_after_the_last_number(self):
        self.ok(*WATCH)
        asked = [one.qs for one in self.sent('GET', '/timeline')]
        self.assertEqual([None, ['3'], ['5']], [one.get('marker') for one in asked])
        self.assertNotIn('sample', asked[0]['kind'])

    def test_what_is_asked_once_is_waited_for_longer(self):
        self.ok(*WATCH)

        def waits(part):
            return {one.timeout for one in self.requests if part in one.url}

        self.assertEqual({30.0}, waits('/os-migrations'))
        self.assertEqual({10.0}, waits('/timeline') | waits('/progress'))

    def test_the_outcome_for_a_program(self):
        status, out, err = self.openstack(*WATCH, '-f', 'json')
        found = json.loads(out)
        self.assertEqual((0, 'completed', 31.4, 286, 500.0, 'n2'), (
            status, found['outcome'], found['total_seconds'], found['blackout_ms'],
            found['memory_sent_mib'], found['destination_host']))
        self.assertIn('outcome: completed', err)

    def test_the_exit_status_tells_the_outcome(self):
        for outcome, nova, ends in (('completed', 'completed', 0), ('cancelled', 'cancelled', 3),
                                    ('failed', 'error', 4), ('broken', 'error', 5)):
            self.plugin('progress', cloud.progress(), cloud.done(outcome, nova, reason='why'))
            status, out, err = self.openstack(*WATCH)
            self.assertEqual((ends, ''), (status, err))
            self.assertEqual(outcome != 'completed', 'sent: why' in out)

    def test_ctrl_c_stops_watching_only(self):
        self.plugin('progress', cloud.progress(), KeyboardInterrupt())
        status, out, _err = self.openstack(*WATCH)
        self.assertEqual(130, status)
        self.assertIn('Stopped watching; the migration goes on.', out)
        self.assertIn(f'openstack server migration abort {cloud.SERVER} 7', out)
        self.assertEqual(set(), {one.method for one in self.requests} - {'GET'})
        self.assertNotIn('| outcome', out)

    def test_ctrl_c_before_there_is_anything_to_watch(self):
        self.answers['GET /os-migrations'] = [KeyboardInterrupt()]
        status, _out, err = self.openstack(*WATCH)
        self.assertEqual((130, 'Stopped; what was started goes on.\n'), (status, err))

    def test_it_survives_what_passes(self):
        self.plugin('progress', cloud.progress(), fault(503, 'Host n1 does not answer'),
                    cloud.Answer(502, '<html>'), cloud.Answer(200, '<html>'), {},
                    cloud.progress(), cloud.done())
        out = self.ok(*WATCH)
        self.assertEqual(4, out.count(' trouble: '))
        self.assertIn('Host n1 does not answer. No migration is touched', out)
        self.assertIn('note: there are answers again', out)

    def test_what_does_not_pass(self):
        self.plugin('progress', fault(403, 'not for you'))
        status, out, err = self.openstack(*WATCH)
        self.assertEqual(1, status)
        self.assertIn('not for you. Ask an administrator', out)
        self.assertIn('not for you. Ask an administrator', err)

    def test_a_timeline_that_fails_is_no_reason_to_stop(self):
        self.plugin('timeline', fault(503), {'timeline': None}, {'timeline': [3, None]},
                    {'timeline': []})
        self.plugin('progress', *[cloud.progress()] * 4, cloud.done())
        out = self.ok(*WATCH)
        self.assertEqual(1, out.count('trouble: decisions cannot be shown: no. No migration'))

    def test_on_a_terminal(self):
        class Terminal(io.StringIO):
            def isatty(self):
                return True

        terminal = Terminal()
        with mock.patch.dict('os.environ', {'TERM': 'xterm', 'LINES': '24'}):
            status, _out, _err = self.openstack(*WATCH, '-f', 'json', err=terminal)
        self.assertEqual(0, status)
        for part in ('db-1', 'migration 7, n1 to n2', '41 %', '340 ms expected',
                     'raise_bandwidth: it would not finish', 'set bandwidth 170 MiB/s: done'):
            self.assertIn(part, terminal.getvalue())


class WithoutThePluginTest(cloud.CloudTest):

    def setUp(self):
        super().setUp()
        self.hurry()
        self.answers['GET /os-migrations'] = [
            {'migrations': [cloud.migration(status=status)]}
            for status in ('accepted', 'accepted', 'running', 'completed')]
        self.answers[f'GET /servers/{cloud.SERVER}/migrations/7'] = [{'migration': {
            'status': 'running', 'memory_total_bytes': 200 * cloud.MIB,
            'memory_processed_bytes': 50 * cloud.MIB, 'memory_remaining_bytes': 150 * cloud.MIB}}]

    def test_novas_own_figures_are_shown(self):
        self.answers[f'GET /servers/{cloud.SERVER}/migrations/7/progress'] = [
            cloud.Answer(404, '404 Not Found')]
        out = self.ok(*WATCH)
        self.assertIn("note: figures are Nova's own: this Nova's API does not have", out)
        self.assertIn('waits: Nova chooses and checks a destination', out)
        self.assertIn('progress: 25 %, 150 MiB left', out)
        self.assertIn('outcome: completed', out)
        self.assertEqual(1, len(self.sent('GET', '/progress')))

    def test_a_source_host_without_it(self):
        self.plugin('progress', fault(409, 'Host n1 runs no nova_migpolicy; install it there'))
        out = self.ok(*WATCH)
        self.assertIn("figures are Nova's own: Host n1 runs no nova_migpolicy", out)

    def test_a_failure_of_which_nothing_is_said(self):
        self.plugin('progress', fault(409, 'Host n1 runs no nova_migpolicy'))
        self.answers['GET /os-migrations'] = [
            {'migrations': [cloud.migration()]}, {'migrations': [cloud.migration(status='error')]}]
        status, out, _err = self.openstack(*WATCH, '-f', 'json')
        self.assertEqual(4, status)
        self.assertIn(f'server event list {cloud.SERVER}', json.loads(out)['reason'])

    def test_figures_that_are_not_for_everybody(self):
        self.answers[f'GET /servers/{cloud.SERVER}/migrations/7'] = [
            cloud.Answer(403, {'forbidden': {'message': 'no'}})]
        self.answers[f'GET /servers/{cloud.SERVER}/migrations/7/progress'] = [
            cloud.Answer(404, '')]
        self.assertEqual(0, self.openstack(*WATCH)[0])

    def test_a_migration_that_is_not_shown_any_more(self):
        self.answers[f'GET /servers/{cloud.SERVER}/migrations/7/progress'] = [
            cloud.Answer(404, '')]
        self.answers['GET /os-migrations'] = [
            cloud.Answer(403, {'forbidden': {'message': 'no'}})]
        self.answers[f'GET /servers/{cloud.SERVER}/migrations'] = [
            {'migrations': [cloud.migration()]}, {'migrations': [cloud.migration()]},
            {'migrations': []}]
        status, _out, err = self.openstack(*WATCH)
        self.assertEqual(1, status)
        self.assertIn('does not show migration 7', err)

    def test_a_migration_that_novas_own_monitor_watches(self):
        blank = dict.fromkeys(cloud.progress()['progress'])
        self.plugin('progress', *(
            {'progress': {**blank, 'status': status, 'waits_for': waits, 'outcome': outcome,
                          'phase': phase}}
            for status, waits, outcome, phase in (
                ('running', 'profile nova', None, None),
                ('running', 'profile nova', None, None),
                ('completed', None, 'completed', 'done'))))
        self.plugin('timeline', {'timeline': []})
        self.answers['GET /os-migrations'] = [{'migrations': [cloud.migration()]}]
        out = self.ok(*WATCH)
        self.assertIn('waits: profile nova', out)
        self.assertIn('progress: 25 %', out)
        self.assertNotIn("figures are Nova's own", out)
