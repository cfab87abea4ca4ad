# SPDX-License-Identifier: Apache-2.0
"""The slots of all hosts, of one, and other limits: nothing is left out or believed unread."""

import copy
import json
import pathlib

import ddt

from nova_migpolicy.api import rbac as rbac_mod
from nova_migpolicy.capacity import account
from nova_migpolicy.channel import client
from tests.unit.api import fakes
from tests.unit.capacity import ends

PATH = '/os-migration-capacity'
ONE = f'{PATH}/n1'
SAMPLES = pathlib.Path(__file__).parents[4] / 'doc/source/samples'


def state(novas=10):
    """What a host tells: one of two that go to n2 has its slots, and the other waits."""
    world = ends.Ends(2, 1)
    world.ask('n1', ends.want(1), ends.want(2))
    world.wait(3.0)
    # As the account of one host: both ends are in it.
    return {'max_concurrent_live_migrations': novas,
            **account.state(world.sources['n1'], world.destination, world.now_s)}


def told(**directions):
    """The same, with other values in a direction."""
    found = copy.deepcopy(state())
    for name, values in directions.items():
        found[name].update(values)
    return 200, found


FIGURES = {
    'max_outgoing': 2, 'max_incoming': 1, 'max_concurrent_live_migrations': 10,
    'effective_max_outgoing': 2, 'notes': [],
    'outgoing': {'used': 1, 'waiting': 1, 'oldest_wait_seconds': 3.0},
    'incoming': {'used': 1, 'waiting': 1, 'oldest_wait_seconds': 3.0}}


@ddt.ddt
class TestAll(fakes.ApiCase):

    def setUp(self):
        super().setUp()
        self.channel.answers['capacity'] = 200, state()

    def listed(self, path=PATH):
        answer = self.call('GET', path)
        self.assertEqual(200, answer.code, answer)
        return answer.body

    def test_limits_and_figures_of_all_hosts(self):
        self.assertEqual({'capacity': [{'host': 'n1', **FIGURES}, {'host': 'n2', **FIGURES}],
                          'incomplete': []}, self.listed())
        self.assertCountEqual([('n1', 'capacity', {'most': 0}), ('n2', 'capacity', {'most': 0})],
                              self.channel.asked)
        self.assertEqual([(rbac_mod.CAPACITY, None)], self.rbac.checked)
        self.assertEqual([], self.nova.seen)

    @ddt.data(client.Unreachable(409, 'no plugin there'),
              client.Unreachable(409, 'of another version'), client.Off(503, 'no answer'),
              client.Refused(503, 'the compute host failed'))
    def test_a_host_that_does_not_tell(self, error):
        self.channel.answers['n1', 'capacity'] = error
        found = self.listed()
        self.assertEqual(([{'host': 'n1', 'message': error.message}], ['n2']), (
            found['incomplete'], [one['host'] for one in found['capacity']]))

    def test_a_host_that_is_down(self):
        self.lookup.down.add('n2')
        [one] = self.listed()['incomplete']
        said = 'nova-compute on n2 is down, and only it knows its slots; start it and try again.'
        self.assertEqual(('n2', said), (one['host'], one['message']))
        self.assertEqual(['n1'], [host for host, *_ in self.channel.asked])

    def test_a_cell_that_does_not_answer(self):
        self.lookup.silent_cells = 1
        self.assertEqual([None], [one['host'] for one in self.listed()['incomplete']])

    @ddt.data(
        (200, None), (200, {}), (200, {'outgoing': {}, 'incoming': {}}),
        (200, {**state(), 'incoming': []}),
        (200, {**state(), 'max_concurrent_live_migrations': None}),
        told(outgoing={'limit': -1}), told(outgoing={'limit': True}), told(incoming={'used': 1.5}),
        told(incoming={'waiting': '1'}), told(incoming={'oldest_wait_s': float('nan')}),
        told(incoming={'left_out': None}), told(outgoing={'holders': {}}),
        told(outgoing={'queue': [7]}), told(outgoing={'queue': [{}]}),
        told(incoming={'holders': [{'server': 'a', 'migration': 7}]}),
        told(incoming={'holders': [{'server': 'a', 'migration': 'b', 'phase': 7}]}))
    def test_an_answer_of_another_form(self, answer):
        self.channel.answers['n1', 'capacity'] = answer
        found = self.listed()
        [one] = found['incomplete']
        self.assertIn('What n1 answers is not understood', one['message'])
        self.assertEqual(['n2'], [one['host'] for one in found['capacity']])

    @ddt.data((1, 1, 'has to be higher than max_outgoing, which is 2'),
              (2, 2, 'has to be higher than max_outgoing, which is 2'), (3, 2, None),
              (0, 2, None))
    @ddt.unpack
    def test_novas_own_limit_counts_as_well(self, novas, effective, words):
        self.channel.answers['n1', 'capacity'] = 200, state(novas)
        found = self.listed(f'{PATH}?host=n1')['capacity'][0]
        self.assertEqual((novas, effective, 1 if words else 0), (
            found['max_concurrent_live_migrations'], found['effective_max_outgoing'],
            len(found['notes'])))
        self.assertIn(words or '', ''.join(found['notes']))

    def test_no_limit_of_ours(self):
        self.channel.answers['n1', 'capacity'] = told(outgoing={'limit': 0})
        found = self.listed(f'{PATH}?host=n1')['capacity'][0]
        self.assertEqual((0, 10), (found['max_outgoing'], found['effective_max_outgoing']))
        self.assertIn('that is the limit of what it sends', found['notes'][0])

    def test_one_host(self):
        self.lookup.silent_cells = 1
        found = self.listed(f'{PATH}?host=n2')
        self.assertEqual((['n2'], []), ([one['host'] for one in found['capacity']],
                                        found['incomplete']))
        self.assertEqual(['n2'], [host for host, *_ in self.channel.asked])
        self.refused(404, 'no such host', 'GET', f'{PATH}?host=n7')

    @ddt.data(('?hots=n1', 'did you mean host?'), ('?host=', 'host.0'),
              ('?host=n1&host=n2', 'name one host, or none for all'))
    @ddt.unpack
    def test_a_query_that_is_wrong(self, query, words):
        self.refused(400, words, 'GET', PATH + query)
        self.assertEqual([], self.channel.asked)

    def test_another_method_and_a_project(self):
        self.refused(405, 'this path takes GET, HEAD', 'PUT', PATH, {})
        self.assertEqual(400, self.call('GET', f'/abc{PATH}').code)
        self.context.project_id = 'abc'
        self.assertEqual(2, len(self.listed(f'/abc{PATH}')['capacity']))


@ddt.ddt
class TestOne(fakes.ApiCase):

    def test_who_has_slots_and_who_waits(self):
        self.channel.answers['capacity'] = 200, state()
        answer = self.call('GET', ONE)
        self.assertEqual(200, answer.code, answer)
        found = answer.body['capacity']
        why = '1st of 1 for an incoming slot on n2 (1 of 1 used by db-1)'
        self.assertEqual({
            'host': 'n1', **FIGURES,
            'outgoing': {**FIGURES['outgoing'], 'holders': [{
                'destination_host': 'n2', 'server_name': 'db-1', 'migration_uuid': 'm1',
                'since_seconds': 3.0, 'phase': None, 'eta_seconds': None}], 'queue': [{
                    'destination_host': 'n2', 'server_name': 'db-2', 'migration_uuid': 'm2',
                    'since_seconds': 3.0, 'priority': 50, 'reason': why, 'eta_seconds': None}],
                'left_out': 0},
            'incoming': {**FIGURES['incoming'], 'holders': [{
                'source_host': 'n1', 'server_name': 'db-1', 'migration_uuid': 'm1',
                'since_seconds': 3.0, 'phase': None, 'eta_seconds': None}], 'queue': [{
                    'source_host': 'n1', 'server_name': 'db-2', 'migration_uuid': 'm2',
                    'since_seconds': 3.0, 'priority': 50, 'reason': why, 'eta_seconds': None}],
                'left_out': 0}}, found)
        self.assertEqual([(rbac_mod.CAPACITY, None)], self.rbac.checked)

    @ddt.data((client.Unreachable(409, 'n1 has no plugin'), 409, 'n1 has no plugin'),
              (client.Off(503, 'no answer'), 503, 'no answer'),
              ((200, {'incoming': 7}), 409, 'What n1 answers is not understood'))
    @ddt.unpack
    def test_a_host_that_does_not_tell(self, given, code, words):
        self.channel.answers['capacity'] = self.channel.answers['set_capacity'] = given
        self.refused(code, words, 'GET', ONE)
        self.refused(code, words, 'PUT', ONE, {'capacity': {'max_outgoing': 2}})

    def test_a_host_that_there_is_not(self):
        self.refused(404, 'no such host', 'GET', f'{PATH}/n7')
        self.refused(404, 'no such host', 'PUT', f'{PATH}/n7', {'capacity': {'max_outgoing': 2}})
        self.lookup.down.add('n1')
        self.refused(503, 'nova-compute on n1 is down', 'GET', ONE)
        self.lookup.hosts = []
        self.refused(503, 'There is no nova-compute on n1', 'GET', ONE)
        self.assertEqual([], self.channel.asked)

    def test_a_name_that_ends_as_a_path_may(self):
        self.lookup.hosts = ['n1.json']
        self.lookup.check_host = lambda context, host: self.assertEqual('n1.json', host)
        self.channel.answers['capacity'] = 200, state()
        self.assertEqual('n1.json', self.call('GET', f'{ONE}.json').body['capacity']['host'])

    def changed(self, wanted, before, now, novas=10):
        self.channel.answers['set_capacity'] = 200, {
            'before': before, 'now': now, 'max_concurrent_live_migrations': novas}
        answer = self.call('PUT', ONE, {'capacity': wanted})
        self.assertEqual(200, answer.code, answer)
        return answer.body['capacity']

    def test_other_limits(self):
        self.assertEqual({
            'host': 'n1', 'before': {'max_incoming': 2}, 'now': {'max_incoming': 4},
            'max_concurrent_live_migrations': 10, 'notes': [],
            'lasts': 'It lasts until nova-compute on n1 is started again, or reads its nova.conf '
                     'again with other limits in it; to keep it, set [migpolicy] max_incoming = 4 '
                     'there.'},
            self.changed({'max_incoming': 4}, {'max_incoming': 2}, {'max_incoming': 4}))
        self.assertEqual([('n1', 'set_capacity', {'max_incoming': 4, 'max_outgoing': None})],
                         self.channel.asked)
        self.assertEqual([(rbac_mod.SET_CAPACITY, None)], self.rbac.checked)

    def test_a_whole_number_in_another_form(self):
        self.changed({'max_incoming': 4.0}, {'max_incoming': 2}, {'max_incoming': 4})
        [(_, _, asked)] = self.channel.asked
        self.assertEqual('4', repr(asked['max_incoming']))

    def test_both_and_novas_own_limit(self):
        found = self.changed({'max_outgoing': 8, 'max_incoming': 0},
                             {'max_outgoing': 2, 'max_incoming': 2},
                             {'max_outgoing': 8, 'max_incoming': 0}, novas=4)
        self.assertEqual(4, found['effective_max_outgoing'])
        self.assertIn('has to be higher than max_outgoing, which is 8', found['notes'][0])
        self.assertIn('max_outgoing = 8, max_incoming = 0', found['lasts'])

    @ddt.data({'before': {}, 'now': {}, 'max_concurrent_live_migrations': 1},
              {'before': {}, 'now': {'max_incoming': 4}, 'max_concurrent_live_migrations': 1},
              {'before': {'max_incoming': 4}, 'now': {'max_incoming': 'x'}}, {'now': 7})
    def test_an_answer_of_another_form(self, body):
        self.channel.answers['set_capacity'] = 200, body
        self.refused(409, 'is not understood', 'PUT', ONE, {'capacity': {'max_incoming': 4}})

    @ddt.data(({}, "'capacity' is a required property"), ({'capacity': {}}, 'capacity: {}'),
              ({'capacity': {'max_outgoing': 1001}}, 'is greater than the maximum of 1000'),
              ({'capacity': {'max_outgoing': -1}}, 'is less than the minimum of 0'),
              ({'capacity': {'max_outgoing': True}}, "is not of type 'integer'"),
              ({'capacity': {'max_outgoing': None}}, "is not of type 'integer'"),
              ({'capacity': {'max_incomming': 2}}, 'did you mean max_incoming?'))
    @ddt.unpack
    def test_a_body_that_is_wrong(self, body, words):
        self.refused(400, words, 'PUT', ONE, body)
        self.assertEqual([], self.channel.asked)

    def test_who_may_not(self):
        self.rbac.denied |= {rbac_mod.CAPACITY}
        # Not even whether there is such a host.
        for path in (PATH, ONE, f'{PATH}/n7', f'{PATH}?host=n7'):
            self.refused(403, rbac_mod.CAPACITY, 'GET', path)
        self.rbac.denied = {rbac_mod.SET_CAPACITY}
        for path in (ONE, f'{PATH}/n7'):
            self.refused(403, rbac_mod.SET_CAPACITY, 'PUT', path, {'x': 1})
        self.assertEqual([], self.channel.asked)
        self.refused(405, 'this path takes GET, HEAD, PUT', 'DELETE', ONE)


class TestSamples(fakes.ApiCase):

    def shape(self, given):
        """The form of an answer, whatever its values are."""
        if isinstance(given, dict):
            return {name: self.shape(value) for name, value in given.items()}
        return [self.shape(one) for one in given[:1]] if isinstance(given, list) else ...

    def check(self, name, answer):
        sample = json.loads((SAMPLES / f'{name}-resp.json').read_text())
        self.assertEqual(200, answer.code, answer)
        self.assertEqual(self.shape(sample['capacity']), self.shape(answer.body['capacity']))

    def test_those_of_the_docs_have_the_form_of_answers(self):
        # As in the sample, nothing goes from that host.
        there = {**state(4), 'outgoing': {**state()['outgoing'], 'holders': [], 'queue': []}}
        self.channel.answers['capacity'] = 200, state(2)
        self.check('capacity-list', self.call('GET', PATH))
        self.channel.answers['capacity'] = 200, there
        self.check('capacity-get', self.call('GET', ONE))
        self.channel.answers['set_capacity'] = 200, {
            'before': {'max_incoming': 2}, 'now': {'max_incoming': 4},
            'max_concurrent_live_migrations': 4}
        request = json.loads((SAMPLES / 'capacity-put-req.json').read_text())
        self.check('capacity-put', self.call('PUT', ONE, request))
