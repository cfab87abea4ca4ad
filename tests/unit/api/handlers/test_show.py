# SPDX-License-Identifier: Apache-2.0
"""What is told of a migration: policy, progress and timeline."""

import ddt
import nova.conf

from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.channel import client
from tests.unit.api import fakes

CONF = nova.conf.CONF


@ddt.ddt
class TestAll(fakes.ApiCase):
    """What the three have in common."""

    @ddt.data('policy', 'progress', 'timeline')
    def test_source_host_is_asked(self, what):
        self.assertEqual(200, self.call('GET', f'{self.base}/{what}').code)
        [(host, method, arguments)] = self.channel.asked
        self.assertEqual(('n1', what, fakes.SERVER, fakes.RECORD), (
            host, method, arguments['server'], arguments['migration']))
        self.assertEqual([(rbac_mod.SHOW, 'p')], self.rbac.checked)
        self.assertEqual([], self.nova.seen)

    @ddt.data('policy', 'progress', 'timeline')
    def test_who_may_not(self, what):
        self.rbac.denied.add(rbac_mod.SHOW)
        self.refused(403, rbac_mod.SHOW, 'GET', f'{self.base}/{what}')
        self.assertEqual([], self.channel.asked)

    @ddt.data('policy', 'progress', 'timeline')
    def test_not_there(self, what):
        self.refused(404, 'no such server', 'GET', f'/servers/{fakes.OTHER}/migrations/5/{what}')
        self.refused(404, 'no such migration', 'GET',
                     f'/servers/{fakes.SERVER}/migrations/6/{what}')
        self.assertEqual([], self.channel.asked)

    @ddt.data('policy', 'progress', 'timeline')
    def test_source_host_is_down(self, what):
        self.lookup.down.add('n1')
        self.refused(503, 'n1 is down', 'GET', f'{self.base}/{what}')
        self.assertEqual([], self.channel.asked)

    @ddt.data((409, 'no plugin there'), (503, 'no answer'))
    @ddt.unpack
    def test_source_host_cannot_be_asked(self, code, words):
        self.channel.answers['progress'] = client.Unreachable(code, words)
        self.refused(code, words, 'GET', f'{self.base}/progress')

    def test_versions(self):
        answer = self.call('GET', f'{self.base}/policy', headers={
            'OpenStack-API-Version': 'compute 2.90, migration-policy 1.0'})
        self.assertEqual('migration-policy 1.0', answer.headers['OpenStack-API-Version'])
        self.assertEqual('OpenStack-API-Version', answer.headers['Vary'])
        self.refused(406, 'there is only 1.0', 'GET', f'{self.base}/policy', headers={
            'OpenStack-API-Version': 'migration-policy 1.1'})

    def test_project_in_the_path(self):
        self.context.project_id = 'abc'
        self.assertEqual(200, self.call('GET', f'/abc{self.base}/policy').code)
        self.refused(400, "names project 'abd'", 'GET', f'/abd{self.base}/policy')

    def test_head(self):
        answer = self.call('HEAD', f'{self.base}/policy')
        self.assertEqual((200, None), (answer.code, answer.body))

    @ddt.data('POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'BREW')
    def test_other_methods(self, method):
        answer = self.refused(405, 'this path takes GET, HEAD', method, f'{self.base}/policy')
        self.assertEqual('GET, HEAD', answer.headers['Allow'])
        self.assertEqual([], self.nova.seen)


@ddt.ddt
class TestPolicy(fakes.ApiCase):

    def test_each_field_with_its_unit_and_origin(self):
        self.channel.answers['policy'] = 200, {
            'policy': {'profile': 'balanced', 'max_downtime_ms': 300, 'remedies': ['pause'],
                       'of_a_newer_version': 1},
            'origins': {'profile': 'flavor', 'max_downtime_ms': 'image, clamped by flavor'},
            'problems': ['image: x = 1: ignored'], 'held': {'max_downtime_ms': 250},
            'retuned': {}, 'notes': ['post_copy is left out: the server is paused']}
        self.assertEqual({'policy': {
            'server_id': fakes.SERVER, 'migration_id': 5, 'profile': 'balanced',
            'fields': {
                'profile': {'value': 'balanced', 'unit': None, 'origin': 'flavor',
                            'clamped': False, 'held': None},
                'max_downtime_ms': {'value': 300, 'unit': 'ms',
                                    'origin': 'image, clamped by flavor', 'clamped': True,
                                    'held': 250},
                'remedies': {'value': ['pause'], 'unit': None, 'origin': '', 'clamped': False,
                             'held': None},
                'of_a_newer_version': {'value': 1, 'unit': None, 'origin': '',
                                       'clamped': False, 'held': None}},
            'problems': ['image: x = 1: ignored'],
            'notes': ['post_copy is left out: the server is paused']}},
            self.call('GET', f'{self.base}/policy').body)

    @ddt.data(('running', True, 200), ('queued', False, 200), ('completed', True, 200),
              ('completed', False, 404), ('cancelled', False, 404))
    @ddt.unpack
    def test_what_it_would_be_now_is_no_answer_for_one_that_is_over(self, status, begun, code):
        self.lookup.migrations = [fakes.migration(status=status)]
        self.channel.answers['policy'] = 200, {'policy': {}, 'begun': begun}
        self.assertEqual(code, self.call('GET', f'{self.base}/policy').code)


@ddt.ddt
class TestProgress(fakes.ApiCase):

    def test_from_the_source_host(self):
        self.channel.answers['progress'] = 200, {'phase': 'passes', 'percent': 40.5}
        self.assertEqual({'progress': {
            'server_id': fakes.SERVER, 'migration_id': 5, 'migration_uuid': fakes.RECORD,
            'status': 'running', 'source_host': 'n1', 'destination_host': 'n2',
            'phase': 'passes', 'percent': 40.5}},
            self.call('GET', f'{self.base}/progress').body)

    @ddt.data(('accepted', 'queued', None, 0), ('queued', 'waiting for a slot', None, 0),
              ('preparing', 'preparing', None, 0), ('running', None, None, None),
              ('running (post-copy)', 'post-copy', None, None),
              ('completed', 'done', 'completed', 100),
              ('cancelled', 'done', 'cancelled', None), ('error', 'done', 'failed', None),
              ('failed', 'done', 'failed', None), ('of a newer Nova', None, None, None))
    @ddt.unpack
    def test_from_novas_record(self, status, phase, outcome, percent):
        self.channel.answers['progress'] = 200, None
        self.lookup.migrations = [fakes.migration(status=status)]
        found = self.call('GET', f'{self.base}/progress').body['progress']
        self.assertEqual((status, phase, outcome, percent), tuple(
            found[name] for name in ('status', 'phase', 'outcome', 'percent')))
        self.assertEqual({'total_bytes': 100, 'processed_bytes': 40, 'remaining_bytes': 60},
                         found['memory'])
        self.assertIsNone(found['eta_seconds'])
        self.assertIsNone(found['age_seconds'])
        self.assertEqual(phase in (None, 'queued'), found['waits_for'] is not None)


@ddt.ddt
class TestTimeline(fakes.ApiCase):

    def test_whole(self):
        self.channel.answers['timeline'] = 200, {'records': [{'number': 1}], 'next': None}
        self.assertEqual({'timeline': [{'number': 1}]},
                         self.call('GET', f'{self.base}/timeline').body)
        self.assertEqual({'after': 0, 'limit': 100, 'kinds': []}, {
            name: value for name, value in self.channel.asked[0][2].items()
            if name not in ('server', 'migration')})

    def page(self, query):
        self.channel.answers['timeline'] = 200, {'records': [], 'next': 9}
        return self.call('GET', f'{self.base}/timeline?{query}').body['timeline_links']

    def test_a_page_links_to_the_next(self):
        self.assertEqual([{'rel': 'next', 'href': (
            f'http://nova/v2.1{self.base}/timeline?limit=2&marker=9&kind=sample&kind=end')}],
            self.page('limit=2&marker=7&kind=sample&kind=end'))
        self.assertEqual((7, 2, ['sample', 'end']), tuple(
            self.channel.asked[0][2][name] for name in ('after', 'limit', 'kinds')))

    @ddt.data('[x', 'a b', 'cloud:port', '', ']')
    def test_link_with_whatever_host_the_client_said(self, host):
        self.channel.answers['timeline'] = 200, {'records': [], 'next': 9}
        answer = self.call('GET', f'{self.base}/timeline', headers={'Host': host})
        self.assertIn(f'/v2.1{self.base}/timeline?',
                      answer.body['timeline_links'][0]['href'])

    def test_link_begins_as_clients_see_it(self):
        CONF.set_override('compute_link_prefix', 'https://cloud/compute/', group='api')
        self.addCleanup(CONF.clear_override, 'compute_link_prefix', group='api')
        self.assertEqual(f'https://cloud/compute/v2.1{self.base}/timeline?limit=100&marker=9',
                         self.page('')[0]['href'])

    @ddt.data('limit=0', 'limit=5000', 'limit=x', 'marker=-1', 'kind=%00', 'kind=', 'page=1',
              'kind=%ff', 'limit=1&limit=2', 'limit=%EF%BC%91')
    def test_wrong_query(self, query):
        self.refused(400, '', 'GET', f'{self.base}/timeline?{query}')
        self.assertEqual([], self.channel.asked)
