# SPDX-License-Identifier: Apache-2.0
"""What is undecided, of one migration and on all hosts: nothing is left out silently."""

import threading

import ddt

from nova_migpolicy.api import hosts
from nova_migpolicy.api import parallel
from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.channel import client
from nova_migpolicy.recovery import account
from tests.unit.api import fakes
from tests.unit.recovery import cases
from tests.unit.recovery import looks

PATH = '/os-migrations/recovery'
HELD = 'both hosts run the guest'
LONG_S = 30.0


def told(since_s=1795873000.0, kind='hold', **changes):
    """What a host tells of a migration."""
    undecided = kind and {'since_s': since_s, 'kind': kind, 'reason': HELD,
                          'seen': looks.seen().to_dict(), 'seen_s': since_s + 60}
    return account.entry(cases.a_record(undecided=undecided, **changes), since_s)


def body(*migrations, unused=(), left_out=0):
    return 200, {'migrations': list(migrations), 'unused': list(unused), 'left_out': left_out}


@ddt.ddt
class TestAll(fakes.ApiCase):

    def setUp(self):
        super().setUp()
        self.channel.answers['undecided'] = body()

    def listed(self, path=PATH):
        answer = self.call('GET', path)
        self.assertEqual(200, answer.code, answer)
        return answer.body

    def test_nothing_is_undecided(self):
        self.assertEqual({'recovery': [], 'unused_files': [], 'incomplete': []}, self.listed())
        self.assertCountEqual([('n1', 'undecided', {}), ('n2', 'undecided', {})],
                              self.channel.asked)
        # No project's: hosts are nobody's.
        self.assertEqual([(rbac_mod.RECOVERY, None)], self.rbac.checked)
        self.assertEqual([], self.nova.seen)

    def test_what_is_undecided_since_the_longest_ago_first(self):
        self.channel.answers['n1', 'undecided'] = body(told(1795873000.0))
        self.channel.answers['n2', 'undecided'] = body(
            told(1795872000.0, server=cases.OTHER, source='n2'))
        first, second = self.listed()['recovery']
        self.assertEqual((cases.OTHER, cases.SERVER), (first['server_id'], second['server_id']))
        self.assertEqual({
            'server_id': cases.SERVER, 'migration_uuid': cases.MIGRATION,
            'source_host': 'compute1', 'destination_host': 'compute2', 'phase': 'copying',
            'started_at': '2026-11-28T12:46:40+00:00', 'since': '2026-11-28T13:36:40+00:00',
            'next_step': 'hold', 'reason': HELD, 'what_to_do': told()['what_to_do'],
            'needs_operator': True, 'seen_at': '2026-11-28T13:37:40+00:00', 'evidence': {
                'source': 'runs', 'source_job': False, 'destination': 'is absent',
                'server_host': 'source', 'migration_status': 'under way',
                'server_is_migrating': True}}, second)

    def test_files_that_are_not_used(self):
        self.channel.answers['n2', 'undecided'] = body(
            unused=[{'file': '/a.json', 'reason': 'it is cut off'}])
        self.assertEqual([{'host': 'n2', 'file': '/a.json', 'reason': 'it is cut off',
                           'what_to_do': account.FOR_UNUSED}], self.listed()['unused_files'])

    @ddt.data(client.Unreachable(409, 'no plugin there'),
              client.Unreachable(409, 'of another version'), client.Off(503, 'no answer'),
              client.Refused(503, 'it cannot be read'))
    def test_a_host_that_does_not_tell(self, error):
        self.channel.answers['n1', 'undecided'] = error
        self.channel.answers['n2', 'undecided'] = body(told())
        found = self.listed()
        self.assertEqual(([{'host': 'n1', 'message': error.message}], 1),
                         (found['incomplete'], len(found['recovery'])))

    def test_a_host_that_is_down_is_not_waited_for(self):
        self.lookup.down.add('n2')
        [one] = self.listed()['incomplete']
        self.assertEqual('n2', one['host'])
        self.assertIn('nova-compute on n2 is down', one['message'])
        self.assertEqual(['n1'], [host for host, *_ in self.channel.asked])

    @ddt.data((200, None), (200, {}), (200, {'migrations': {}, 'unused': [], 'left_out': 0}),
              (200, {'migrations': [5], 'unused': [], 'left_out': 0}),
              (200, {'migrations': [], 'unused': [], 'left_out': '2'}))
    def test_an_answer_of_another_form(self, answer):
        self.channel.answers['n1', 'undecided'] = answer
        [one] = self.listed()['incomplete']
        self.assertEqual('n1', one['host'])
        self.assertIn('What n1 answers is not understood', one['message'])

    def test_fields_of_another_version(self):
        self.channel.answers['n1', 'undecided'] = body(
            {'server': cases.SERVER, 'since_s': 'x', 'seen': [], 'colour': 'red'},
            {'since_s': 1e300, 'seen': {'source': 'floats'}})
        first, second = self.listed()['recovery']
        self.assertEqual((cases.SERVER, None, None),
                         (first['server_id'], first['since'], first['evidence']))
        self.assertNotIn('colour', first)
        self.assertEqual('floats', second['evidence']['source'])

    def test_a_host_that_has_more_than_it_tells(self):
        self.channel.answers['n1', 'undecided'] = body(told(), left_out=7)
        [one] = self.listed()['incomplete']
        self.assertIn('There are 7 more on n1', one['message'])

    def test_a_cell_that_does_not_answer(self):
        self.lookup.silent_cells = 1
        [one] = self.listed()['incomplete']
        self.assertIsNone(one['host'])
        self.assertIn('cell does not answer', one['message'])

    def test_an_error_of_our_own(self):
        self.channel.answers['n1', 'undecided'] = ValueError('a bug')
        [one] = self.listed()['incomplete']
        self.assertIn('nova-api failed', one['message'])
        self.assertNotIn('a bug', one['message'])

    def test_hosts_are_asked_side_by_side(self):
        count = hosts.BOUNDS.at_once
        self.lookup.hosts = [f'n{number}' for number in range(2 * count)]
        together = threading.Barrier(count)

        def ask(*args, **kwargs):
            together.wait(LONG_S)
            return body()

        self.channel.ask = ask
        self.assertEqual([], self.listed()['incomplete'])

    def test_a_host_that_hangs(self):
        go_on = threading.Event()
        self.addCleanup(go_on.set)
        at_once = parallel.Bounds(at_once=2, per_host=1, begin_s=LONG_S, answer_s=0.2)
        self.useFixture(fakes.fixtures.MockPatchObject(hosts, 'BOUNDS', at_once))
        self.channel.ask = lambda context, host, *args, **kwargs: (
            go_on.wait(LONG_S) if host == 'n2' else body())
        [one] = self.listed()['incomplete']
        self.assertIn('n2 was not asked, or has not answered, within 0.2 s', one['message'])

    def test_one_host(self):
        self.channel.answers['n2', 'undecided'] = body(told())
        self.lookup.silent_cells = 1
        found = self.listed(f'{PATH}?host=n2')
        self.assertEqual((1, []), (len(found['recovery']), found['incomplete']))
        self.assertEqual(['n2'], [host for host, *_ in self.channel.asked])

    def test_a_host_that_there_is_not(self):
        self.refused(404, 'no such host', 'GET', f'{PATH}?host=n7')
        self.lookup.hosts = []
        self.refused(503, 'There is no nova-compute on n1', 'GET', f'{PATH}?host=n1')

    @ddt.data(('?hots=n1', 'did you mean host?'), ('?host=', 'host.0'),
              ('?host=n1&host=n2', 'name one host, or none for all'),
              ('?host=' + 'x' * 256, 'host.0'))
    @ddt.unpack
    def test_a_query_that_is_wrong(self, query, words):
        self.refused(400, words, 'GET', PATH + query)
        self.assertEqual([], self.channel.asked)

    def test_who_may_not(self):
        self.rbac.denied.add(rbac_mod.RECOVERY)
        # Not even whether there is such a host.
        for query in ('', '?host=n1', '?host=n7', '?what'):
            self.refused(403, rbac_mod.RECOVERY, 'GET', PATH + query)
        self.assertEqual([], self.channel.asked)

    def test_another_method_and_a_project(self):
        self.refused(405, 'this path takes GET, HEAD', 'POST', PATH, {})
        self.assertEqual(400, self.call('GET', f'/abc{PATH}').code)
        self.context.project_id = 'abc'
        self.assertEqual([], self.listed(f'/abc{PATH}')['recovery'])


class TestOne(fakes.ApiCase):

    def shown(self, given):
        self.channel.answers['recovery'] = 200, {'migration': given}
        answer = self.call('GET', f'{self.base}/recovery')
        self.assertEqual(200, answer.code, answer)
        return answer.body['recovery']

    def test_one_that_is_undecided(self):
        found = self.shown(told())
        # Nova's record says which it is.
        self.assertEqual((fakes.SERVER, 5, fakes.RECORD, 'n1', 'n2', 'hold', True), tuple(
            found[name] for name in ('server_id', 'migration_id', 'migration_uuid', 'source_host',
                                     'destination_host', 'next_step', 'needs_operator')))
        self.assertEqual('runs', found['evidence']['source'])
        self.assertEqual([('n1', 'recovery', {'server': fakes.SERVER,
                                              'migration': fakes.RECORD})], self.channel.asked)
        self.assertEqual([(rbac_mod.RECOVERY, 'p')], self.rbac.checked)

    def test_one_that_is_under_way(self):
        found = self.shown(told(kind=None))
        self.assertEqual(('copying', None, None, False), tuple(
            found[name] for name in ('phase', 'next_step', 'evidence', 'needs_operator')))

    def test_one_of_which_nothing_is_written_down(self):
        found = self.shown(None)
        self.assertEqual((5, None, None, False), tuple(
            found[name] for name in ('migration_id', 'phase', 'next_step', 'needs_operator')))

    def test_who_may_not_and_what_is_not_there(self):
        self.refused(404, 'no such server', 'GET',
                     f'/servers/{fakes.OTHER}/migrations/5/recovery')
        self.refused(404, 'no such migration', 'GET',
                     f'/servers/{fakes.SERVER}/migrations/6/recovery')
        self.rbac.denied.add(rbac_mod.RECOVERY)
        for number in (5, 6):
            self.refused(403, rbac_mod.RECOVERY, 'GET',
                         f'/servers/{fakes.SERVER}/migrations/{number}/recovery')
        self.assertEqual([], self.channel.asked)

    def test_source_host_is_down(self):
        self.lookup.down.add('n1')
        self.refused(503, 'n1 is down', 'GET', f'{self.base}/recovery')
