# SPDX-License-Identifier: Apache-2.0
"""The commands as a person types them, against Nova 34: ours, and those of Nova's clients."""

from __future__ import annotations

import csv
import io
import json
import signal

import yaml

from lab import client as lab_client
from lab import guests
from tests.stack.support import base
from tests.stack.support import phases
from tests.stack.support import steering

OURS = ('openstack', 'server', 'migration')
NOVAS = ('openstack', '--os-compute-api-version', '2.90', 'server', 'migration')
NOVA = ('nova', '--os-compute-api-version', '2.90')
# What the shell that starts a command takes, the token, and a look each second.
WATCH_TIMEOUT_S = 60.0
IDLE = guests.Guest(kind='idle', memory_mib=128)


class CliTest(phases.InPhase, steering.SteeringTest):
    """Runs commands on the stack."""

    def cli(self, *words, user='admin', status=0):
        done = self.stack.cli([str(word) for word in words], user, check=False)
        self.assertEqual(status, done.returncode, f'{words}: {done.stdout}{done.stderr}')
        self.assertNotIn('Traceback', done.stderr)
        return done

    def ours(self, *words, **kwargs):
        return self.cli(*OURS, *words, **kwargs).stdout

    def json(self, *words, **kwargs):
        return json.loads(self.ours(*words, '-f', 'json', **kwargs))

    def spawn(self, *words):
        """Start one of our commands beside the test; its output is text."""
        log = self.stack.where.log / f'cli-{len(self.children)}.log'
        log.unlink(missing_ok=True)
        child = self.stack.spawn_cli([*OURS, *map(str, words)], log)
        self.children.append(child)
        self.addCleanup(child.kill)
        return child, log

    def setUp(self):
        super().setUp()
        self.children = []

    def said(self, log, text):
        lab_client.wait(lambda: log.read_text() if log.exists() else '',
                        lambda found: text in found, WATCH_TIMEOUT_S, f'{text!r} from the command')


class ReadingTest(CliTest):

    def test_every_format_of_what_is_shown(self):
        run = self.in_passes(max_downtime_ms=900)
        for words, known in (
                (('show', run.server), ('max_downtime_ms', 900)),
                (('timeline', run.server, run.migration), ('start', None))):
            rows = self.json('policy', *words)
            name = 'Key' if words[0] == 'show' else 'Kind'
            self.assertIn(known[0], [row[name] for row in rows])
            self.assertEqual(rows[0], yaml.safe_load(
                self.ours('policy', *words, '-f', 'yaml'))[0])
            read = list(csv.DictReader(io.StringIO(self.ours('policy', *words, '-f', 'csv'))))
            self.assertEqual(rows[0][name], read[0][name])
            self.assertIn(known[0], self.ours('policy', *words, '-f', 'value', '-c', name))
            self.assert_fits(self.ours('policy', *words))
        rows = self.json('policy', 'timeline', run.server, '--kind', 'sample', '--limit', '3')
        self.assertEqual({'sample'}, {row['Kind'] for row in rows})
        values = {row['Key']: row['Value'] for row in self.json('policy', 'show', run.server)}
        self.assertEqual((900, []), (values['max_downtime_ms'], values['remedies']))
        found = self.json('policy', 'progress', run.server)
        self.assertEqual(('passes', 'n1', 'n2', run.migration), (
            found['phase'], found['source_host'], found['destination_host'],
            found['migration_id']))
        self.assert_fits(self.ours('policy', 'progress', run.server))
        self.assertEqual('passes\n', self.ours('policy', 'progress', run.server, '-f', 'value',
                                               '-c', 'phase'))
        self.admin.abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))

    def assert_fits(self, table):
        self.assertLessEqual(max(map(len, table.splitlines())), 100, table)


class WatchingTest(CliTest):

    def test_watch_a_busy_guest_retune_it_and_see_it_finish(self):
        run = self.in_passes(max_bandwidth_mib_s=400, max_downtime_ms=1000)
        child, log = self.spawn('watch', run.server)
        self.said(log, ' progress: ')
        told = self.json('policy', 'retune', run.server, '--bandwidth-mib-s', '400')
        # A libvirt that is too busy to answer within a second is not waited for.
        self.assertEqual({} if told['pending'] else {'bandwidth_mib_s': 400}, told['applied'])
        self.assertEqual(0, child.wait(WATCH_TIMEOUT_S), log.read_text())
        text = log.read_text()
        for part in (' phase: passes', 'decision: operator: ', 'set bandwidth 400 MiB/s: done',
                     'outcome: completed after', 'blackout', '| total_seconds'):
            self.assertIn(part, text)
        self.assert_moved(self.finish(run))

    def test_hold_a_setting_and_release_it(self):
        run = self.in_passes(max_bandwidth_mib_s=400, max_downtime_ms=1000)
        self.ours('policy', 'retune', run.server, '--max-downtime-ms', '60')
        held = {row['Key']: row['Held'] for row in self.json('policy', 'show', run.server)}
        self.assertEqual(60, held['max_downtime_ms'])
        self.assertEqual(['max_downtime_ms'], self.json('policy', 'progress', run.server)['held'])
        told = self.json('policy', 'retune', run.server, '--release', 'max_downtime_ms')
        self.assertEqual({}, told['held'])
        self.assertEqual([] if told['pending'] else ['max_downtime_ms'], told['released'])
        said = self.cli(*OURS, 'policy', 'retune', run.server, '--bandwidth-mib-s', '401',
                        status=1).stderr
        self.assertIn('max_bandwidth_mib_s', said)
        self.ours('policy', 'pause', run.server)
        self.assert_moved(self.finish(run))
        said = self.cli(*OURS, 'policy', 'post-copy', run.server, status=1).stderr
        self.assertIn('done', said)

    def test_the_exit_status_of_a_cancelled_one(self):
        run = self.in_passes()
        child, log = self.spawn('watch', run.server, run.migration, '-f', 'json')
        self.said(log, ' phase: ')
        found = self.json('cancel', '--host', 'n1', '--direction', 'from')
        self.assertEqual([(run.server, run.migration, 'cancelled')], [
            (row['Server ID'], row['Migration'], row['Result']) for row in found])
        self.assertEqual(3, child.wait(WATCH_TIMEOUT_S), log.read_text())
        self.assertIn('"outcome": "cancelled"', log.read_text())
        self.assert_stayed(self.finish(run))
        self.assertIn('is under way', self.cli(*OURS, 'cancel', '--project', 'admin').stderr)

    def test_ctrl_c_stops_watching_only(self):
        # Who is started in the background may have been told to ignore it, and passes that on.
        self.addCleanup(signal.signal, signal.SIGINT,
                        signal.signal(signal.SIGINT, signal.default_int_handler))
        run = self.in_passes()
        child, log = self.spawn('watch', run.server)
        self.said(log, ' progress: ')
        child.kill(signal.SIGINT)
        self.assertEqual(130, child.wait(WATCH_TIMEOUT_S), log.read_text())
        self.assertIn('Stopped watching; the migration goes on.', log.read_text())
        self.assertEqual('running', self.admin.migration(run.server, run.migration)['status'])
        self.admin.abort(run.server, run.migration)
        self.assert_stayed(self.finish(run))


class StartingTest(CliTest):

    def booted(self, guest, **policy):
        """Boot a guest without a disk of its own, which would only take time."""
        base.SHARED.count += 1
        flavor = self.admin.flavor(
            f'cli-{base.SHARED.count}', guest.memory_mib, disk_gib=0,
            extra_specs={f'migpolicy:{key}': value for key, value in policy.items()})
        self.addCleanup(self.admin.compute, 'DELETE', f'/flavors/{flavor}')
        return self.boot(guest, flavor=flavor)

    def test_start_with_a_policy_and_wait(self):
        server = self.booted(steering.BUSY)
        done = self.cli(*OURS, 'start', server, '--host', 'n2', '--profile', 'suspend_if_needed',
                        '--set', 'max_bandwidth_mib_s=50', '--wait', '-f', 'json')
        found, = json.loads(done.stdout)
        self.assertEqual((server, 'completed', None), (
            found['Server ID'], found['Outcome'], found['Reason']))
        self.assertIn('action: pause: done', done.stderr)
        self.assertEqual('n2', self.admin.host(server))
        origins = {row['Key']: row['Origin'] for row in self.json('policy', 'show', server)}
        self.assertIn('request', origins['max_bandwidth_mib_s'])

    def test_empty_a_host(self):
        servers = [self.booted(IDLE), self.booted(steering.BUSY, **phases.ENDLESS)]
        done = self.cli(*OURS, 'start', '--from-host', 'n1', '--set', 'on_timeout=pause',
                        '--set', 'timeout_seconds=12', '--set', 'timeout_seconds_per_gib=0',
                        '-f', 'json')
        found = {row['Server ID']: row['Outcome'] for row in json.loads(done.stdout)}
        self.assertEqual(dict.fromkeys(servers, 'completed'), found)
        self.assertEqual({'n2'}, {self.admin.host(server) for server in servers})
        self.assertIn('migrations of 2 asked for', done.stderr)

    def test_the_worst_outcome_counts(self):
        servers = [self.booted(IDLE),
                   self.booted(steering.BUSY, remedies='none', on_stall='abort')]
        done = self.cli(*OURS, 'start', '--from-host', 'n1', '-f', 'json', status=3)
        self.assertEqual({servers[0]: 'completed', servers[1]: 'cancelled'}, {
            row['Server ID']: row['Outcome'] for row in json.loads(done.stdout)})


class NovasClientsTest(CliTest):
    """What people already have goes on working."""

    def test_openstack_list_show_and_abort(self):
        run = self.in_passes()
        listed = json.loads(self.cli(*NOVAS, 'list', '--server', run.server, '-f', 'json').stdout)
        self.assertEqual([(run.migration, 'running')],
                         [(row['Id'], row['Status']) for row in listed])
        # Not by the number: 10.5.0 of the client then takes it for the server's.
        shown = json.loads(self.cli(*NOVAS, 'show', run.server, listed[0]['UUID'],
                                    '-f', 'json').stdout)
        self.assertGreater(shown['Memory Total Bytes'], 0)
        self.cli(*NOVAS, 'abort', run.server, run.migration)
        self.assert_stayed(self.finish(run))

    def test_openstack_force_complete(self):
        run = self.in_passes()
        self.cli(*NOVAS, 'force', 'complete', run.server, run.migration)
        self.assert_moved(self.finish(run))

    def test_nova_show_and_abort(self):
        run = self.in_passes()
        shown = self.by_nova('server-migration-show', run)
        self.assertRegex(shown, r'status +\| running')
        self.assertRegex(shown, r'memory_total_bytes +\| [1-9]')
        self.by_nova('live-migration-abort', run)
        self.assert_stayed(self.finish(run))

    def test_nova_force_complete(self):
        run = self.in_passes()
        self.by_nova('live-migration-force-complete', run)
        self.assert_moved(self.finish(run))

    def by_nova(self, command, run):
        return self.cli(*NOVA, command, run.server, run.migration).stdout
