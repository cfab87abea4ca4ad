# SPDX-License-Identifier: Apache-2.0
"""Starting migrations of one server and of a host, through the true shell."""

from __future__ import annotations

import json
from unittest import mock

from nova_migpolicy.osc import launch
from tests.unit.osc import cloud

START = ('server', 'migration', 'start')
ACTION = f'POST /servers/{cloud.SERVER}/action'
ACCEPTED = cloud.Answer(202)
WISH = {'priority': 'drain', 'on_busy_destination': 'wait'}
SHOWN = 'priority=drain, on_busy_destination=wait'


def rows(*found):
    return {'migrations': list(found)}


class StartTest(cloud.CloudTest):

    def setUp(self):
        super().setUp()
        self.hurry()
        self.answers[ACTION] = [ACCEPTED]
        self.answers['GET /os-migrations'] = [
            rows(cloud.migration(5, 'completed')), rows(cloud.migration(5, 'completed')),
            rows(cloud.migration(7, 'accepted'), cloud.migration(5, 'completed'))]

    def body(self):
        return self.sent('POST', '/action')[-1].json()['os-migrateLive']

    def error(self, *words):
        status, out, err = self.openstack(*START, *words)
        self.assertEqual((1, ''), (status, out))
        return err


class OneTest(StartTest):

    def test_without_a_policy_it_is_novas_plain_request(self):
        found, = self.json(*START, 'db-1')
        self.assertEqual({'host': None, 'block_migration': 'auto'}, self.body())
        self.assertEqual('compute 2.90',
                         self.sent('POST', '/action')[0].headers['OpenStack-API-Version'])
        self.assertEqual((cloud.SERVER, 'db-1', 7, 'started', None), (
            found['Server ID'], found['Server'], found['Migration'], found['Outcome'],
            found['Reason']))
        self.assertEqual(5, len(found))
        self.assertEqual([], self.sent('GET', '/progress'))

    def test_ids_of_another_cell_say_nothing(self):
        old = cloud.migration(5000, 'completed')
        self.answers['GET /os-migrations'] = [
            rows(old), rows(cloud.migration(40, 'accepted'), old)]
        found, = self.json(*START, 'db-1')
        self.assertEqual((40, 'started'), (found['Migration'], found['Outcome']))

    def test_a_policy_goes_with_it(self):
        self.ok(*START, 'db-1', '--host', 'n2', '--profile', 'post_copy', '--set',
                'max_downtime_ms=300', '--set', 'remedies=downtime,pause', '--set',
                'on_stall = pause')
        self.assertEqual({'host': 'n2', 'block_migration': 'auto', 'migpolicy': {
            'profile': 'post_copy', 'max_downtime_ms': 300, 'remedies': ['downtime', 'pause'],
            'on_stall': 'pause'}}, self.body())
        self.assertEqual('compute 2.90, migration-policy 1.0',
                         self.sent('POST', '/action')[0].headers['OpenStack-API-Version'])

    def test_a_policy_that_cannot_be_is_refused_here(self):
        for words, said in (
                (('--set', 'max_downtime_ms'), 'write it as key=value'),
                (('--set', 'max_downtime=3'), 'did you mean max_downtime_ms'),
                (('--set', 'colour=red'), 'there is profile'),
                (('--set', 'max_downtime_ms=0'), 'below the minimum of 1'),
                (('--set', 'priority=urgent'), "--set priority 'urgent': it has to be drain"),
                (('--set', 'priority=101'), 'maintenance (20), or a number from 0 to 100.'),
                (('--profile', 'no such'), 'a name has letters'),
                (('--profile', 'a', '--set', 'profile=b'), 'different profiles')):
            self.assertIn(said, self.error('db-1', *words))
        self.assertEqual([], self.requests)

    def test_a_nova_without_the_plugin(self):
        said = ('Invalid input for field/attribute os-migrateLive. Additional properties are not '
                "allowed ('migpolicy' was unexpected)")
        self.answers[ACTION] = [cloud.Answer(400, {'badRequest': {'message': said}})]
        self.assertIn('does not have nova_migpolicy', self.error('db-1', '--profile', 'a'))

    def test_what_nova_refuses(self):
        for code, message in ((400, 'Compute host n9 could not be found.'),
                              (409, "Cannot 'os-migrateLive' instance while it is migrating"),
                              (404, 'Instance could not be found.')):
            self.answers[ACTION] = [cloud.Answer(code, {'fault': {'message': message}})]
            self.assertEqual(f'{message}\n', self.error('db-1', '--set', 'on_stall=pause'))

    def test_a_migration_that_does_not_appear(self):
        self.answers['GET /os-migrations'] = [rows(cloud.migration(5, 'completed'))]
        with mock.patch.object(launch, 'APPEARS_S', 0):
            status, out, _err = self.openstack(*START, 'db-1', '-f', 'json')
        found, = json.loads(out)
        self.assertEqual((1, None, 'not started'),
                         (status, found['Migration'], found['Outcome']))
        self.assertIn('openstack server event list', found['Reason'])

    def test_wait(self):
        self.plugin('timeline', {'timeline': []})
        for outcome, nova, ends in (('completed', 'completed', 0), ('broken', 'error', 5)):
            self.answers['GET /os-migrations'] = [rows(), rows(cloud.migration())]
            self.plugin('progress', cloud.progress(), cloud.done(outcome, nova))
            status, out, err = self.openstack(*START, 'db-1', '--wait', '-f', 'json')
            found, = json.loads(out)
            self.assertEqual((ends, outcome, 31.4, 286, 501.0), (
                status, found['Outcome'], found['Seconds'], found['Blackout ms'],
                found['Sent MiB']))
            self.assertIn('phase: passes', err)

    def test_either_a_server_or_a_host(self):
        for words in ((), ('db-1', '--from-host', 'n1')):
            self.assertIn('Name either a server or', self.error(*words))


class HostTest(StartTest):

    def setUp(self):
        super().setUp()
        self.ids = [f'00000000-0000-4000-8000-0000000000{number:02}' for number in range(4)]
        self.servers = [{'id': server, 'name': f's{number}', 'status': 'ACTIVE'}
                        for number, server in enumerate(self.ids)]
        self.answers['GET /servers/detail'] = [{'servers': self.servers}]
        for number, server in enumerate(self.ids):
            self.answers[f'POST /servers/{server}/action'] = [ACCEPTED]
            path = f'GET /servers/{server}/migrations/{number + 10}'
            self.answers[f'{path}/progress'] = [
                cloud.Answer(200, one, cloud.OURS) for one in (cloud.progress(), cloud.done())]
            self.answers[f'{path}/timeline'] = [
                cloud.Answer(200, {'timeline': []}, cloud.OURS)]
        begun = [cloud.migration(number + 10, server=server)
                 for number, server in enumerate(self.ids)]
        # What ran before, of the same server, is not taken for what was started.
        old = cloud.migration(9, 'completed', self.ids[0])
        self.answers['GET /os-migrations'] = [
            rows(old), rows(*begun[:2], old), rows(*reversed(begun), old)]

    def test_all_are_started_and_watched(self):
        out = self.openstack(*START, '--from-host', 'n1', '--set', 'timeout_seconds=300')
        self.assertEqual(0, out[0])
        for number in range(4):
            self.assertIn(f's{number}: outcome: completed after 31 s', out[1])
            self.assertEqual({'timeout_seconds': 300, **WISH}, self.sent(
                'POST', f'{self.ids[number]}/action')[0].json()['os-migrateLive']['migpolicy'])
        self.assertIn('4 servers on n1, migrations of 4 asked for', out[2])

    def none_runs(self):
        """Forget what was asked before."""
        self.requests.clear()
        self.answers['GET /os-migrations'] = [rows(), self.answers['GET /os-migrations'][-1]]

    def policies(self):
        """The policies of all requests, in their order."""
        return [one.json()['os-migrateLive'].get('migpolicy')
                for one in self.sent('POST', '/action')]

    def test_what_a_drain_wishes_unless_something_else_is_given(self):
        for words, policy in (
                ((), WISH), (('--set', 'priority=user'), {**WISH, 'priority': 50}),
                (('--set', 'priority=0'), {**WISH, 'priority': 0}),
                (('--set', 'on_busy_destination=auto'), {**WISH, 'on_busy_destination': 'auto'}),
                (('--host', 'n2'), {'priority': 'drain'}),
                (('--profile', 'evacuate'), {'profile': 'evacuate', **WISH}),
                (('--profile', 'nova'), {'profile': 'nova'})):
            self.none_runs()
            status, _out, _err = self.openstack(*START, '--from-host', 'n1', '--no-wait', *words)
            self.assertEqual((0, [policy] * 4), (status, self.policies()))

    def refused(self, number, code, said):
        """Have a server's migration refused once."""
        self.answers[f'POST /servers/{self.ids[number]}/action'] = [
            cloud.Answer(code, {'fault': {'message': said}}), ACCEPTED]

    def test_a_drain_where_the_wishes_are_refused(self):
        for code, said, shown in (
                (400, "os-migrateLive. ('migpolicy' was unexpected)", launch.NO_PLUGIN),
                (403, 'The rule migpolicy:request does not', 'The rule migpolicy:request does'),
                (409, 'n1 runs, but nova_migpolicy does not', 'n1 runs, but nova_migpolicy does')):
            self.none_runs()
            self.refused(0, code, said)
            status, _out, err = self.openstack(
                *START, '--from-host', 'n1', '--no-wait', '--set', 'on_stall=pause')
            self.assertEqual(0, status)
            # Nobody has asked for it: they go without, and it is said once.
            self.assertEqual([{'on_stall': 'pause', **WISH}] + [{'on_stall': 'pause'}] * 4,
                             self.policies())
            self.assertEqual(1, err.count(f'They go without {SHOWN}: {shown}'), err)

    def test_a_drain_where_one_wish_is_refused(self):
        for said, left, shown in (
                ('priority = 100: above 50, the most', {'on_busy_destination': 'wait'},
                 'priority=drain'),
                ("on_busy_destination = 'wait': not one of auto", {'priority': 'drain'},
                 'on_busy_destination=wait')):
            self.none_runs()
            self.refused(0, 400, said)
            status, _out, err = self.openstack(*START, '--from-host', 'n1', '--no-wait')
            self.assertEqual((0, [WISH] + [left] * 4), (status, self.policies()))
            self.assertEqual(1, err.count(f'They go without {shown}: {said}'), err)

    def test_a_drain_where_both_wishes_are_refused_one_after_the_other(self):
        self.answers[f'POST /servers/{self.ids[0]}/action'] = [
            cloud.Answer(400, {'fault': {'message': 'priority = 100: above 50'}}),
            cloud.Answer(403, {'fault': {'message': 'The rule does not permit it'}}), ACCEPTED]
        _status, _out, err = self.openstack(*START, '--from-host', 'n1', '--no-wait')
        self.assertEqual([WISH, {'on_busy_destination': 'wait'}] + [None] * 4, self.policies())
        self.assertEqual(1, err.count(f'They go without {SHOWN}: The rule'), err)

    def test_one_goes_without_where_the_source_is_busy(self):
        for number in (0, 1, 3):
            self.refused(number, 503, 'n1 is busy')
        status, _out, err = self.openstack(*START, '--from-host', 'n1', '--no-wait')
        self.assertEqual((0, [WISH, None, WISH, None, WISH, WISH, None]),
                         (status, self.policies()))
        for number in (0, 1, 3):
            self.assertEqual(1, err.count(f's{number} goes without {SHOWN}: n1 is busy'), err)
        self.assertNotIn('They go', err)

    def test_all_go_without_where_the_source_stays_busy(self):
        for number in range(launch.MOST_BUSY):
            self.refused(number, 503, 'n1 is busy')
        status, _out, err = self.openstack(*START, '--from-host', 'n1', '--no-wait')
        self.assertEqual((0, [WISH, None] * launch.MOST_BUSY + [None]), (status, self.policies()))
        self.assertEqual(1, err.count(f'They go without {SHOWN}: n1 is busy'), err)

    def test_a_refusal_that_is_not_for_the_wishes(self):
        self.answers[f'POST /servers/{self.ids[0]}/action'] = [
            cloud.Answer(409, {'conflict': {'message': 'it is locked'}})]
        self.answers['GET /os-migrations'].pop(1)
        _status, _out, err = self.openstack(*START, '--from-host', 'n1', '--no-wait')
        self.assertEqual([WISH, None] + [WISH] * 3, self.policies())
        self.assertNotIn('go without', err)
        self.assertNotIn('goes without', err)

    def test_nothing_is_asked_twice_that_may_have_begun(self):
        self.answers[f'POST /servers/{self.ids[0]}/action'] = [cloud.Answer(504, '<html>')]
        self.answers['GET /os-migrations'].pop(1)
        self.openstack(*START, '--from-host', 'n1', '--no-wait')
        self.assertEqual(4, len(self.policies()))

    def test_those_that_wait_are_shown_as_such(self):
        why = ('2nd of 2 for an incoming slot on n2 (2 of 2 used by s0 and s1); about {} s')
        self.answers[f'GET /servers/{self.ids[2]}/migrations/12/progress'] = [
            cloud.Answer(200, cloud.progress(
                phase='waiting for a slot', waits_for=why.format(eta), percent=0.0, memory=None,
                disk=None, bandwidth_mib_s=None, pass_number=0, eta_seconds=None), cloud.OURS)
            for eta in (30, 26, 22)] + [cloud.Answer(200, cloud.done(), cloud.OURS)]
        status, out, _err = self.openstack(*START, '--from-host', 'n1')
        self.assertEqual(0, status)
        self.assertIn('s2: phase: waiting for a slot', out)
        self.assertEqual(1, out.count('s2: waits: '), out)
        self.assertIn(f's2: waits: {why.format(30)}', out)
        self.assertNotIn('s2: progress: 0 %', out)

    def test_the_worst_outcome_is_the_exit_status(self):
        self.answers[f'GET /servers/{self.ids[1]}/migrations/11/progress'] = [
            cloud.Answer(200, cloud.done('cancelled', 'cancelled'), cloud.OURS)]
        self.answers[f'GET /servers/{self.ids[2]}/migrations/12/progress'] = [
            cloud.Answer(200, cloud.done('failed', 'error', reason='no route'), cloud.OURS)]
        status, out, _err = self.openstack(*START, '--from-host', 'n1', '-f', 'json')
        self.assertEqual((4, ['completed', 'cancelled', 'failed', 'completed'], 'no route'), (
            status, [row['Outcome'] for row in json.loads(out)], json.loads(out)[2]['Reason']))

    def test_what_cannot_be_started_does_not_stop_the_others(self):
        self.servers[1]['status'] = 'SHUTOFF'
        self.answers[f'POST /servers/{self.ids[2]}/action'] = [
            cloud.Answer(409, {'conflict': {'message': 'it is locked'}})]
        self.answers['GET /os-migrations'].pop(1)
        status, out, _err = self.openstack(*START, '--from-host', 'n1', '-f', 'json')
        found = json.loads(out)
        self.assertEqual((1, ['completed', 'not started', 'not started', 'completed']),
                         (status, [row['Outcome'] for row in found]))
        self.assertIn('It is SHUTOFF', found[1]['Reason'])
        self.assertEqual('it is locked', found[2]['Reason'])
        self.assertEqual([], self.sent('POST', f'{self.ids[1]}/action'))

    def test_no_wait(self):
        status, out, _err = self.openstack(*START, '--from-host', 'n1', '--no-wait', '-f', 'json')
        self.assertEqual((0, ['started'] * 4, [10, 11, 12, 13]), (
            status, [row['Outcome'] for row in json.loads(out)],
            [row['Migration'] for row in json.loads(out)]))
        self.assertEqual([], self.sent('GET', '/progress'))

    def test_ids_of_another_cell_say_nothing(self):
        # The host's servers were resized into its cell; what ran before has higher ids.
        old = [cloud.migration(number + 5000, 'completed', server)
               for number, server in enumerate(self.ids)]
        begun = self.answers['GET /os-migrations'][-1]['migrations'][:4]
        self.answers['GET /os-migrations'] = [rows(*old), rows(*begun, *old)]
        status, out, _err = self.openstack(*START, '--from-host', 'n1', '--no-wait', '-f', 'json')
        self.assertEqual((0, [10, 11, 12, 13]), (
            status, [row['Migration'] for row in json.loads(out)]))

    def test_the_newest_that_was_not_known_is_it(self):
        # Old ones come into sight where others are archived meanwhile.
        found = self.answers['GET /os-migrations'][-1]['migrations']
        older = [cloud.migration(number + 500, 'completed', server)
                 for number, server in enumerate(self.ids)]
        self.answers['GET /os-migrations'] = [rows(found[-1]), rows(*found, *older)]
        status, out, _err = self.openstack(*START, '--from-host', 'n1', '--no-wait', '-f', 'json')
        self.assertEqual((0, [10, 11, 12, 13]), (
            status, [row['Migration'] for row in json.loads(out)]))

    def test_an_empty_host(self):
        self.answers['GET /servers/detail'] = [{'servers': []}]
        status, _out, err = self.openstack(*START, '--from-host', 'n1')
        self.assertEqual((0, '0 servers on n1, migrations of 0 asked for\n'), (status, err))

    def test_a_table_of_many_fits(self):
        self.servers[0]['name'] = 'a-name-that-is-longer-than-any-column-of-a-table-can-be'
        self.answers[f'GET /servers/{self.ids[2]}/migrations/12/progress'] = [
            cloud.Answer(200, cloud.done('failed', 'error', reason='no route ' * 20), cloud.OURS)]
        _status, out, _err = self.openstack(*START, '--from-host', 'n1')
        table = [line for line in out.splitlines() if line[:1] in '|+']
        self.assertLessEqual(max(map(len, table)), 100, out)

    def test_pages_of_servers(self):
        many = [{'id': f'{number:08}-0000-4000-8000-000000000000', 'name': str(number),
                 'status': 'SHUTOFF'} for number in range(700)]
        self.answers['GET /servers/detail'] = [{'servers': many[:500]}, {'servers': many[500:]}]
        status, out, _err = self.openstack(*START, '--from-host', 'n1', '-f', 'json')
        self.assertEqual((1, 700), (status, len(json.loads(out))))
        self.assertIn(f'marker={many[499]["id"]}', self.sent('GET', '/servers/detail')[1].url)

    def test_ctrl_c_names_how_to_cancel(self):
        self.answers[f'GET /servers/{self.ids[3]}/migrations/13/progress'] = [KeyboardInterrupt()]
        status, out, _err = self.openstack(*START, '--from-host', 'n1')
        self.assertEqual(130, status)
        self.assertRegex(out, r'Stopped watching; \d migrations go on')
