# SPDX-License-Identifier: Apache-2.0
"""No door starts a second copy: hard reboot, and evacuation after the source was powered off."""

from __future__ import annotations

import functools
import json
import operator
import os
import signal
import subprocess
import sys

from lab import client as lab_client
from lab import libvirtd
from lab.openstack import services
from nova_migpolicy import written
from tests.stack.support import deaths
from tests.stack.support import recoveries
from tests.stack.support import samples
from tests.stack.support import steering

UNTOLD = deaths.AFTER_THE_COPY['before_the_destination_is_told']


class DoorsTest(deaths.DeathsTest, samples.Sampled):

    def moved_and_untold(self, death=UNTOLD):
        """A guest that has arrived, of which Nova was not told."""
        self.addCleanup(self.return_of, 'n1')
        self.addCleanup(self.stack.death('n1').unlink, missing_ok=True)
        self.stack.death('n1').write_text(death.place)
        run = self.start(recoveries.QUIET, port=True)
        self.wait_dead()
        self.wait_gone(run)
        return run

    def signal(self, host, program, number):
        for pid in services.find_all(self.stack.hosts[host].machine, program):
            os.kill(pid, number)

    def fault(self, run):
        """The newest reason that Nova gives for a failed request."""
        found = self.admin.actions(run.server)
        return ' '.join(str(event.get('details') or event.get('traceback') or '')
                        for action in found for event in action.get('events', ()))

    def test_a_hard_reboot_and_a_rebuild_while_the_destination_is_silent(self):
        run = self.moved_and_untold()
        self.signal('n2', 'nova-compute', signal.SIGSTOP)
        self.addCleanup(self.signal, 'n2', 'nova-compute', signal.SIGCONT)
        self.stack.start_compute('n1')
        self.stack.services.wait_logged('nova-n1', 'Join ServiceGroup membership')
        self.ask_in_vain(run)
        image = self.admin.server(run.server)['image']['id']
        for number, request in enumerate(({'reboot': {'type': 'HARD'}},
                                          {'rebuild': {'imageRef': image}}), 1):
            # An operator who believes that nothing is under way.
            for wanted in ({'os-resetState': {'state': 'active'}}, request):
                self.admin.compute('POST', f'/servers/{run.server}/action', json=wanted)
            lab_client.wait(lambda: self.refusals('n1'), functools.partial(operator.le, number),
                            steering.MIGRATION_TIMEOUT_S, f'{request} to be refused')
            lab_client.wait(lambda: self.admin.server(run.server)['OS-EXT-STS:task_state'],
                            lambda task: task is None, steering.MIGRATION_TIMEOUT_S,
                            f'{request} to end')
            self.assertEqual([], self.running('n1'))
        self.signal('n2', 'nova-compute', signal.SIGCONT)
        self.stack.wait_computes()
        self.assert_agree(run, 'n2', 'completed')

    def ask_in_vain(self, run):
        """Have Nova try another migration, which does not hide the unfinished one."""
        self.force_down('n2', True)
        self.addCleanup(self.force_down, 'n2', False)
        self.admin.compute('POST', f'/servers/{run.server}/action',
                           json={'os-resetState': {'state': 'active'}})
        self.admin.wait_migration(run.server, self.admin.live_migrate(run.server),
                                  status={'error'})
        self.force_down('n2', False)

    def test_an_evacuation_after_the_switchover(self):
        run = self.moved_and_untold()
        self.signal('n1', 'libvirtd', signal.SIGKILL)
        self.force_down('n1', True)
        self.addCleanup(self.force_down, 'n1', False)
        self.admin.compute('POST', f'/servers/{run.server}/action',
                           json={'evacuate': {}}, microversion='2.90')
        lab_client.wait(lambda: self.admin.server(run.server), lambda server: (
            server['OS-EXT-SRV-ATTR:host'], server['OS-EXT-STS:task_state']) == ('n2', None),
            steering.MIGRATION_TIMEOUT_S, 'the migration to be finished by n2')
        lab_client.wait(lambda: [one['status'] for one in self.evacuations(run.server)],
                        lambda found: found == ['failed'], steering.MIGRATION_TIMEOUT_S,
                        'the evacuation to fail')
        self.assertEqual(1, len(run.beats.switches()))
        self.assertTrue(run.beats.wait_for_beats(20, log=1))
        self.return_of('n1')
        self.assert_agree(run, 'n2', 'completed')

    def test_an_evacuation_to_a_host_that_a_migration_has_left_ports_bound_to(self):
        """neutron would answer with an error after a minute: it binds no port to a host twice."""
        server = self.boot(port=True)
        [port] = [one['id'] for one in self.admin.ports(server)]
        self.admin.bind(port, 'n2')
        self.kill()
        self.addCleanup(self.return_after_an_evacuation, server, 'n1')
        self.stack.hosts['n1'].connect().lookupByUUIDString(server).destroy()
        self.force_down('n1', True)
        self.admin.compute('POST', f'/servers/{server}/action', json={'evacuate': {}},
                           microversion='2.90')
        lab_client.wait(lambda: self.admin.server(server), lambda found: (
            found['OS-EXT-SRV-ATTR:host'], found['OS-EXT-STS:task_state']) == ('n2', None),
            steering.MIGRATION_TIMEOUT_S, 'the server to be on n2')
        self.assertEqual({'n2': 'ACTIVE'}, self.admin.bindings(port))
        self.assertEqual('n2', self.stack.plugged_into(port))

    def test_a_server_that_an_operator_has_released(self):
        """Its guest has stayed, and the destination does not say that it has nothing of it."""
        run = self.in_passes()
        self.signal('n2', 'nova-compute', signal.SIGSTOP)
        self.addCleanup(self.signal, 'n2', 'nova-compute', signal.SIGCONT)
        self.kill()
        self.stack.hosts['n1'].connect().lookupByUUIDString(run.server).abortJob()
        self.stack.start_compute('n1')
        self.stack.services.wait_logged('nova-n1', 'Join ServiceGroup membership')
        records = written.Records(self.stack.state_path('n1') / written.FOLDER)
        lab_client.wait(lambda: [one.undecided for one in records.look()[0]],
                        lambda found: found and all(found), recoveries.AGREE_S,
                        'it to be undecided')
        self.assert_shown(run)
        self.release(run, 'n1')
        lab_client.wait(
            lambda: (self.admin.server(run.server)['OS-EXT-STS:task_state'],
                     self.admin.migration(run.server, run.migration)['status']),
            lambda found: found == (None, 'error'), recoveries.AGREE_S, 'it to be let go')
        self.act(run, 'os-stop')
        lab_client.wait(lambda: self.admin.server(run.server)['status'],
                        lambda status: status == 'SHUTOFF', steering.MIGRATION_TIMEOUT_S,
                        'it to be stopped')
        self.act(run, 'os-start')
        lab_client.wait(lambda: self.admin.migration(run.server, run.migration)['status'],
                        lambda status: status == 'failed', steering.MIGRATION_TIMEOUT_S,
                        'the start to be allowed')
        self.admin.wait_server(run.server)
        self.assertTrue(run.beats.wait_for_beats(20, log=0))
        self.assertEqual(([run.server], []), (self.running('n1'), self.running('n2')))
        self.assertEqual(['n1'], self.admin.allocations(run.server))
        self.signal('n2', 'nova-compute', signal.SIGCONT)
        self.stack.wait_computes()

    def act(self, run, action):
        self.admin.compute('POST', f'/servers/{run.server}/action', json={action: None})

    def assert_shown(self, run):
        """It is shown to an admin, through the API and the commands, and to nobody else."""
        path = f'/servers/{run.server}/migrations/{run.migration}/recovery'
        one = self.check_sample('recovery-get', 'GET', path, 200)['recovery']
        self.assertEqual((run.server, 'n1', 'n2', 'wait', 'the destination does not answer'), (
            one['server_id'], one['source_host'], one['destination_host'], one['next_step'],
            one['reason']))
        self.assertEqual(('runs', False, 'source', 'is not known, the host does not answer'), (
            one['evidence']['source'], one['evidence']['source_job'],
            one['evidence']['server_host'], one['evidence']['destination']))
        found = self.check_sample('recovery-list', 'GET', '/os-migrations/recovery', 200)
        self.assertEqual(([run.server], ['n2']), (
            [entry['server_id'] for entry in found['recovery']],
            [entry['host'] for entry in found['incomplete']]))
        of_n1 = self.admin.answer('GET', '/os-migrations/recovery?host=n1').json()
        self.assertEqual((found['recovery'], []), (of_n1['recovery'], of_n1['incomplete']))
        listed, shown = ('list',), ('show', run.server)
        done = self.recovery(*listed)
        self.assertEqual((1, ''), (done.returncode, done.stderr))
        self.assertLessEqual(max(map(len, done.stdout.splitlines())), 100, done.stdout)
        rows = json.loads(self.recovery(*listed, '-f', 'json').stdout)
        self.assertEqual([(run.server, 'wait', 'n1'), (None, 'not known', 'n2')], [
            (row['Server ID'], row['Next Step'], row['Source Host']) for row in rows])
        done = self.recovery(*shown, '-f', 'json')
        self.assertEqual((0, one['what_to_do']), (
            done.returncode, json.loads(done.stdout)['what_to_do']), done.stderr)
        for words, said in ((listed, 'The rule migpolicy:recovery does not allow it'),
                            (shown, 'There is no server ')):
            done = self.recovery(*words, user='member')
            self.assertEqual((1, ''), (done.returncode, done.stdout))
            self.assertIn(said, done.stderr)
        self.assertEqual(404, self.stack.client('member').answer('GET', path).status_code)

    def recovery(self, *words, user='admin'):
        return self.stack.cli(['openstack', 'server', 'migration', 'recovery', *words], user,
                              check=False)

    def test_a_server_whose_source_is_off_for_good(self):
        """Nova has it on the destination already, and the migration is not over."""
        run = self.moved_and_untold(deaths.AFTER_THE_COPY['after_the_destination_was_told'])
        self.admin.wait_server(run.server)
        self.assertEqual('n2', self.admin.host(run.server))
        # It runs there: to start it anew makes no second copy.
        before = self.refusals('n2')
        self.reboot(run)
        self.admin.wait_server(run.server)
        self.assertTrue(run.beats.wait_for_beats(20, log=1))
        self.assertEqual(before, self.refusals('n2'))
        self.act(run, 'os-stop')
        self.admin.wait_server(run.server, 'SHUTOFF')
        self.act(run, 'os-start')
        lab_client.wait(lambda: self.refusals('n2'), lambda found: found > before,
                        steering.MIGRATION_TIMEOUT_S, 'the start to be refused')
        self.admin.wait_server(run.server, 'SHUTOFF')
        self.release(run, 'n2', '--here')
        self.act(run, 'os-start')
        lab_client.wait(lambda: self.admin.migration(run.server, run.migration)['status'],
                        lambda status: status == 'failed', steering.MIGRATION_TIMEOUT_S,
                        'the start to be allowed')
        self.admin.wait_server(run.server)
        self.assertIn('has released it from migration', self.stack.log('n2').read_text())
        self.assertTrue(run.beats.wait_for_beats(20, log=1))
        self.assertEqual(([], [run.server]), (self.running('n1'), self.running('n2')))
        # It was not for good.
        self.start_again('n1')
        self.assert_agree(run, 'n2', 'completed')

    def refusals(self, host):
        """How often a host has refused to start a server."""
        return self.stack.log(host).read_text(errors='replace').count('It is not started here')

    def reboot(self, run):
        self.admin.compute('POST', f'/servers/{run.server}/action',
                           json={'reboot': {'type': 'HARD'}})

    def release(self, run, host, *options):
        done = subprocess.run(
            [sys.executable, '-m', 'nova_migpolicy.cmd.main', 'recovery', 'release', '--yes',
             run.server, '--state-path', self.stack.state_path(host), *options],
            capture_output=True, text=True, check=False)
        self.assertEqual((0, ''), (done.returncode, done.stderr), done.stdout)

    def evacuations(self, server):
        return [one for one in self.admin.migrations(server)
                if one['migration_type'] == 'evacuation']

    def force_down(self, host, is_down):
        [found] = [one for one in self.admin.services()
                   if (one['binary'], one['host']) == ('nova-compute', host)]
        self.admin.compute('PUT', f'/os-services/{found["id"]}', json={'forced_down': is_down})

    def return_after_an_evacuation(self, server, host):
        """The host is back, and Nova does not take it for up before it has cleared it."""
        self.stack.start_compute(host)
        lab_client.wait(lambda: [one['status'] for one in self.evacuations(server)],
                        lambda found: 'done' not in found, steering.MIGRATION_TIMEOUT_S,
                        f'what was evacuated from {host} to be cleared there')
        self.force_down(host, False)
        self.stack.wait_computes()

    def return_of(self, host):
        """The host is powered on again."""
        node = self.stack.hosts[host].machine
        if not services.find(node, 'libvirtd'):
            libvirtd.start(node)
            self.stack.hosts[host].connect()
        self.force_down(host, False)
        if not services.find(node, 'nova-compute'):
            self.start_again(host)
