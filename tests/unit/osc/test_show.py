# SPDX-License-Identifier: Apache-2.0
"""The commands that read, through the true shell: finding, formats, paging, odd answers."""

from __future__ import annotations

import csv
import io
import json
from urllib import parse

import yaml

from tests.unit.osc import cloud

SHOW = ('server', 'migration', 'policy', 'show')
PROGRESS = ('server', 'migration', 'policy', 'progress')
TIMELINE = ('server', 'migration', 'policy', 'timeline')
POLICY = {'policy': {
    'server_id': cloud.SERVER, 'migration_id': 7, 'profile': 'balanced', 'problems': [],
    'fields': {
        'profile': {'value': 'balanced', 'unit': None, 'origin': 'nova.conf [migpolicy]',
                    'clamped': False, 'held': None},
        'max_downtime_ms': {'value': 300, 'unit': 'ms', 'held': None, 'clamped': True,
                            'origin': 'image, clamped by the floor of nova.conf [migpolicy] '
                                      'image_limits'},
        'bandwidth_mib_s': {'value': 50, 'unit': 'MiB/s', 'origin': 'flavor', 'clamped': False,
                            'held': 400},
        'remedies': {'value': ['bandwidth', 'downtime', 'auto_converge', 'post_copy'],
                     'unit': None, 'origin': 'flavor', 'clamped': False, 'held': None}}}}


class FormatsTest(cloud.CloudTest):

    def test_the_policy_in_every_format(self):
        self.plugin('policy', POLICY)
        table = self.ok(*SHOW, 'db-1')
        self.assertLessEqual(max(map(len, table.splitlines())), 100)
        for part in ('max_downtime_ms', 'image, clamped by', '400', 'bandwidth, downtime'):
            self.assertIn(part, table)
        self.assertNotIn('Clamped', table)
        rows = self.json(*SHOW, 'db-1')
        self.assertEqual({'Key': 'remedies', 'Unit': None, 'Origin': 'flavor', 'Clamped': False,
                          'Held': None, 'Value': POLICY['policy']['fields']['remedies']['value']},
                         rows[3])
        self.assertEqual(rows, yaml.safe_load(self.ok(*SHOW, 'db-1', '-f', 'yaml')))
        read = list(csv.DictReader(io.StringIO(self.ok(*SHOW, 'db-1', '-f', 'csv'))))
        self.assertEqual(('300', 'True'), (read[1]['Value'], read[1]['Clamped']))
        self.assertEqual('balanced\n300\n50\n', ''.join(
            self.ok(*SHOW, 'db-1', '-f', 'value', '-c', 'Value').splitlines(True)[:3]))
        self.assertIn('| MiB/s |', self.ok(*SHOW, 'db-1', '-c', 'Unit', '-c', 'Key'))

    def test_the_progress_in_every_format(self):
        self.plugin('progress', cloud.progress(last_decision=cloud.record(1)))
        table = self.ok(*PROGRESS, 'db-1')
        self.assertLessEqual(max(map(len, table.splitlines())), 100)
        self.assertNotIn('None', table)
        self.assertIn('raise_bandwidth: it would not finish', table)
        found = self.json(*PROGRESS, 'db-1')
        self.assertEqual((41.4, 96.0, None, 12.0, 500),
                         (found['percent'], found['memory_remaining_mib'], found['outcome'],
                          found['eta_low_seconds'], found['setting_max_downtime_ms']))
        self.assertEqual(found, yaml.safe_load(self.ok(*PROGRESS, 'db-1', '-f', 'yaml')))
        self.assertEqual('passes\n41.4\n', self.ok(
            *PROGRESS, 'db-1', '-f', 'value', '-c', 'percent', '-c', 'phase'))
        self.assertIn('eta_high_seconds="30.0"', self.ok(*PROGRESS, 'db-1', '-f', 'shell'))

    def test_the_progress_after_the_end(self):
        self.plugin('progress', cloud.done())
        found = self.json(*PROGRESS, 'db-1')
        self.assertEqual((31.4, 286, 500.0, 4), (
            found['final_total_seconds'], found['final_downtime_ms'],
            found['final_memory_sent_mib'], found['final_passes']))

    def test_the_progress_of_which_nothing_is_known(self):
        nothing = cloud.progress()['progress']
        self.plugin('progress', {'progress': {
            **dict.fromkeys(nothing), 'status': 'queued', 'server_id': cloud.SERVER}})
        self.assertIn('queued', self.ok(*PROGRESS, 'db-1'))

    def test_the_timeline_in_every_format(self):
        reason = 'it would not finish ' * 10
        self.plugin('timeline', {'timeline': [
            cloud.record(3, rule='on_stall', reason=reason),
            cloud.record(4, 'action', action='abort', done=True)]})
        table = self.ok(*TIMELINE, 'db-1')
        self.assertLessEqual(max(map(len, table.splitlines())), 100)
        rows = self.json(*TIMELINE, 'db-1')
        self.assertEqual(f'on_stall: {reason.strip()}', rows[0]['What'])
        self.assertEqual(('abort', True), (rows[1]['Record']['action'], rows[1]['Record']['done']))
        self.assertEqual(rows, yaml.safe_load(self.ok(*TIMELINE, 'db-1', '-f', 'yaml')))
        read = list(csv.DictReader(io.StringIO(self.ok(*TIMELINE, 'db-1', '-f', 'csv'))))
        self.assertEqual(('4', 'abort: done'), (read[1]['Number'], read[1]['What']))
        self.assertNotIn('Record', read[1])

    def test_notes_are_told_beside_the_table(self):
        self.plugin('policy', {'policy': {**POLICY['policy'], 'notes': ['post_copy is left out']}})
        status, _, err = self.openstack(*SHOW, 'db-1')
        self.assertEqual((0, 'Note: post_copy is left out\n'), (status, err))

    def test_problems_are_told_beside_the_table(self):
        self.plugin('policy', {'policy': {**POLICY['policy'], 'problems': ['on_stall = 3: bad']}})
        status, out, err = self.openstack(*SHOW, 'db-1', '-f', 'json')
        self.assertEqual((0, 'Not as asked: on_stall = 3: bad\n'), (status, err))
        self.assertEqual(4, len(json.loads(out)))


class PagesTest(cloud.CloudTest):

    def setUp(self):
        super().setUp()
        self.plugin('timeline', self.page)

    def page(self, request):
        query = parse.parse_qs(parse.urlsplit(request.url).query)
        after, limit = int(query.get('marker', ['0'])[0]), int(query['limit'][0])
        last = min(after + limit, 2500)
        body = {'timeline': [cloud.record(number) for number in range(after + 1, last + 1)]}
        if last < 2500:
            body['timeline_links'] = [{'rel': 'next', 'href': f'http://n/x?marker={last}&limit=5'}]
        return cloud.Answer(200, body, cloud.OURS)

    def numbers(self, *more):
        return [row['Number'] for row in self.json(*TIMELINE, 'db-1', *more)]

    def test_all_pages_are_read(self):
        self.assertEqual(list(range(1, 2501)), self.numbers())
        self.assertEqual(3, len(self.sent('GET', '/timeline')))

    def test_limit_and_marker(self):
        self.assertEqual(list(range(11, 31)), self.numbers('--marker', '10', '--limit', '20'))
        self.assertEqual(1200, len(self.numbers('--limit', '1200')))
        self.assertEqual([], self.numbers('--limit', '0'))

    def test_kinds(self):
        def kinds():
            return parse.parse_qs(parse.urlsplit(self.sent('GET', '/timeline')[-1].url).query)

        self.numbers('--limit', '1')
        self.assertNotIn('sample', kinds()['kind'])
        self.numbers('--limit', '1', '--kind', 'sample', '--kind', 'decision')
        self.assertEqual(['sample', 'decision'], kinds()['kind'])
        self.assertEqual(2, self.openstack(*TIMELINE, 'db-1', '--kind', 'gossip')[0])
        self.assertEqual(2, self.openstack(*TIMELINE, 'db-1', '--limit', '-1')[0])

    def test_a_server_that_gives_the_same_page_for_ever_is_left(self):
        for href in ('http://n/x?marker=1', 'http://n/x?marker=-1', 'http://[', 'x', None):
            self.plugin('timeline', {'timeline': [cloud.record(1)], 'timeline_links': [
                {'rel': 'next', 'href': href}]})
            self.assertIn(self.numbers(), ([1], [1, 1]), href)
        for links in ('x', ['x'], [{'rel': 'self'}]):
            self.plugin('timeline', {'timeline': [cloud.record(1)], 'timeline_links': links})
            self.assertEqual([1], self.numbers())


class FindTest(cloud.CloudTest):

    def setUp(self):
        super().setUp()
        self.plugin('progress', cloud.progress())

    def asked(self):
        return self.sent('GET', '/progress')[-1].path.split('/')[-4:-1]

    def error(self, *words):
        status, out, err = self.openstack(*PROGRESS, *words)
        self.assertEqual((1, ''), (status, out))
        self.assertEqual(1, err.count('\n'), err)
        return err

    def test_a_server_by_id_or_name(self):
        for wanted in ('db-1', cloud.SERVER):
            self.ok(*PROGRESS, wanted)
            self.assertEqual([cloud.SERVER, 'migrations', '7'], self.asked())

    def test_a_server_of_another_project(self):
        def named(request):
            whole = 'all_tenants=1' in request.url
            return {'servers': [{'id': cloud.SERVER, 'name': 'x(1)'}] if whole else []}

        self.answers['GET /servers'] = [named]
        self.ok(*PROGRESS, 'x(1)')
        self.assertIn('name=x.1.', self.requests[1].url)

    def test_no_server(self):
        refusal = cloud.Answer(403, {'forbidden': {'message': 'no'}})
        self.answers['GET /servers'] = [
            lambda request: refusal if 'all_' in request.url else {'servers': []}]
        self.assertIn("no server 'db-2' that you may see", self.error('db-2'))
        self.answers['GET /servers'] = [{'servers': [{'id': cloud.OTHER, 'name': 'db-22'}]}]
        self.assertIn("no server 'db-2' that you may see", self.error('db-2'))

    def test_two_servers(self):
        self.answers['GET /servers'] = [{'servers': [
            {'id': cloud.SERVER, 'name': 'db'}, {'id': cloud.OTHER, 'name': 'db'}]}]
        said = self.error('db')
        self.assertIn('2 servers are named', said)
        self.assertIn(cloud.OTHER, said)

    def test_the_migration_under_way_otherwise_the_newest(self):
        rows = [cloud.migration(5, 'completed'), cloud.migration(7), cloud.migration(9, 'error')]
        self.answers['GET /os-migrations'] = [{'migrations': rows}]
        self.ok(*PROGRESS, 'db-1')
        self.assertEqual('7', self.asked()[-1])
        rows[1]['status'] = 'running (post-copy)'
        self.ok(*PROGRESS, 'db-1')
        rows[1]['status'] = 'cancelled'
        self.answers[f'GET /servers/{cloud.SERVER}/migrations/9/progress'] = [
            cloud.Answer(200, cloud.progress(migration_id=9), cloud.OURS)]
        self.ok(*PROGRESS, 'db-1')
        self.assertEqual('9', self.asked()[-1])

    def test_a_migration_by_id_or_uuid(self):
        for wanted in ('7', '00000000-0000-4000-8000-000000000007'):
            self.ok(*PROGRESS, 'db-1', wanted)
            self.assertEqual('7', self.asked()[-1])
        self.assertIn('no live migration 1', self.error(
            'db-1', '10000000-0000-4000-8000-000000000007'))
        self.assertIn("'seven' is not the ID", self.error('db-1', 'seven'))

    def test_no_migration_yet(self):
        self.answers['GET /os-migrations'] = [{'migrations': []}]
        self.assertIn('has no live migration yet', self.error('db-1'))

    def test_who_may_not_list_sees_those_under_way(self):
        self.answers['GET /os-migrations'] = [cloud.Answer(403, {'forbidden': {'message': 'no'}})]
        self.answers[f'GET /servers/{cloud.SERVER}/migrations'] = [
            {'migrations': [cloud.migration()]}]
        self.ok(*PROGRESS, 'db-1')
