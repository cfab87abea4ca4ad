# SPDX-License-Identifier: Apache-2.0
"""Retune, post-copy and pause, through the true shell."""

from __future__ import annotations

from nova_migpolicy.osc import options
from nova_migpolicy.policy import keys
from tests.unit.osc import cloud

RETUNE = ('server', 'migration', 'policy', 'retune', 'db-1')
TUNED = {'tuning': {
    'applied': {'bandwidth_mib_s': 400}, 'released': [], 'held': {'bandwidth_mib_s': 400},
    'settings': {'bandwidth_mib_s': 400, 'max_downtime_ms': 500}, 'reason': 'A person asked'}}


class RetuneTest(cloud.CloudTest):

    def setUp(self):
        super().setUp()
        self.plugin('tuning', TUNED, method='PUT')

    def body(self):
        return self.sent('PUT', '/tuning')[-1].json()

    def refused(self, *words):
        status, out, err = self.openstack(*RETUNE, *words)
        self.assertEqual((1, '', []), (status, out, self.sent('PUT', '/tuning')))
        self.assertEqual([], self.requests)
        return err

    def test_there_is_an_option_for_each_key_that_may_change(self):
        status, out, _err = self.openstack(*RETUNE, '--help')
        self.assertEqual(0, status)
        for key in keys.retunable():
            self.assertIn(options.flag(key), out)
        self.assertIn('MiB/s', out)
        self.assertNotIn('--compression', out)

    def test_values_are_sent_as_what_they_are(self):
        self.ok(*RETUNE, '--bandwidth-mib-s', '400', '--remedies', 'downtime,pause',
                '--on-stall', 'post_copy', '--profile', 'evacuate')
        self.assertEqual({'tuning': {
            'bandwidth_mib_s': 400, 'remedies': ['downtime', 'pause'], 'on_stall': 'post_copy',
            'profile': 'evacuate'}}, self.body())
        self.ok(*RETUNE, '--remedies', 'none', '--release', 'max-downtime-ms',
                '--release', 'bandwidth_mib_s')
        self.assertEqual({'tuning': {
            'remedies': [], 'release': ['max_downtime_ms', 'bandwidth_mib_s']}}, self.body())

    def test_every_retunable_key_can_be_sent(self):
        for key in keys.retunable():
            self.ok(*RETUNE, options.flag(key), key.text(key.default))
            self.assertEqual([key.name], list(self.body()['tuning']))

    def test_what_cannot_be_is_refused_here(self):
        said = self.refused('--bandwidth-mib-s', 'fast', '--max-downtime-ms', '0')
        self.assertIn("--bandwidth-mib-s 'fast': not a whole number; it takes 0 to", said)
        self.assertIn("--max-downtime-ms '0': below the minimum of 1", said)
        self.assertIn('Say what to change', self.refused())
        self.assertIn('nothing of that name can be held', self.refused('--release', 'colour'))

    def test_what_was_applied_is_shown(self):
        found = self.json(*RETUNE, '--bandwidth-mib-s', '400')
        self.assertEqual((False, {'bandwidth_mib_s': 400}, []),
                         (found['pending'], found['applied'], found['released']))
        table = self.ok(*RETUNE, '--bandwidth-mib-s', '400')
        self.assertIn('bandwidth_mib_s=400', table)
        self.assertNotIn('released', table)

    def test_an_answer_before_libvirts(self):
        self.plugin('tuning', cloud.Answer(
            202, {'tuning': {**TUNED['tuning'], 'pending': True,
                             'reason': 'waiting for libvirt'}}, cloud.OURS), method='PUT')
        status, out, err = self.openstack(*RETUNE, '--bandwidth-mib-s', '400')
        self.assertEqual(0, status)
        self.assertIn('waiting for libvirt. To see the timeline: openstack server', err)
        self.assertRegex(out, r'pending +\| True')

    def test_the_wrong_phase(self):
        said = 'not possible in the phase post-copy; wait until it has finished'
        self.plugin('tuning', cloud.Answer(
            409, {'conflictingRequest': {'code': 409, 'message': said}}, cloud.OURS), method='PUT')
        self.assertEqual((1, '', f'{said}\n'), self.openstack(*RETUNE, '--bandwidth-mib-s', '4'))

    def test_odd_answers(self):
        for body in ({}, {'tuning': None}, {'tuning': {'applied': 3}}):
            self.plugin('tuning', body, method='PUT')
            self.ok(*RETUNE, '--bandwidth-mib-s', '4')


class NowTest(cloud.CloudTest):

    def test_post_copy_and_pause(self):
        for word, name in (('post-copy', 'post_copy'), ('pause', 'pause')):
            self.plugin('action', cloud.Answer(202, {'action': {
                'name': name, 'phase': 'passes', 'reason': 'A person asked for it'}}, cloud.OURS),
                method='POST')
            found = self.json('server', 'migration', 'policy', word, 'db-1')
            self.assertEqual({name: None}, self.sent('POST', '/action')[-1].json())
            self.assertEqual((name, 'passes', 'A person asked for it', 7),
                             (found['action'], found['phase'], found['reason'],
                              found['migration_id']))
