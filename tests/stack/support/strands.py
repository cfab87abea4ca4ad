# SPDX-License-Identifier: Apache-2.0
"""What tests share in which nothing dies for good, but a part of the cloud is away for a while."""

from __future__ import annotations

import os
import pathlib
import signal

from lab import client as lab_client
from lab.openstack import services
from tests.stack.support import away
from tests.stack.support import deaths
from tests.stack.support import phases
from tests.stack.support import steering

POST = f'{deaths.MANAGER}_post_live_migration'
ROLLBACK = f'{deaths.MANAGER}_rollback_live_migration'
#: Nova itself waits for a minute by default for the answer to a message that is lost
IMPATIENT = {'rpc_response_timeout': 20}


class StrandsTest(away.Away, deaths.DeathsTest):
    """Stops a nova-compute at an exact place, takes something away, and lets it go on."""

    def stop_at(self, place, host='n1', **policy):
        """Start a migration, and wait until a host's nova-compute has stopped at a place."""
        self.fail_at(f'stop before {place}', host)
        self.addCleanup(self.signal, host, signal.SIGCONT)
        run = self.start(steering.BUSY if policy else deaths.QUIET, **policy)
        if policy:
            lab_client.wait(lambda: run.records('sample'), bool, steering.MIGRATION_TIMEOUT_S,
                            'memory to be copied')
            self.admin.abort(run.server, run.migration)
        self.wait_stopped(host)
        return run

    def stop_in_rollback(self, place, host='n1'):
        """Do so with a migration that is cancelled in its passes."""
        return self.stop_at(place, host, **phases.ENDLESS)

    def fail_at(self, what, host='n1'):
        """Have a host's nova-compute fail as lab.openstack.dying says."""
        self.addCleanup(self.stack.death(host).unlink, missing_ok=True)
        self.stack.death(host).write_text(what)

    def wait_stopped(self, host):
        lab_client.wait(lambda: [_state(pid) for pid in self.computes(host)],
                        lambda states: 'T' in states, steering.MIGRATION_TIMEOUT_S,
                        f'nova-compute on {host} to stop')

    def computes(self, host):
        return services.find(self.stack.hosts[host].machine, 'nova-compute')

    def signal(self, host, number):
        for pid in self.computes(host):
            os.kill(pid, number)

    def goes_on_without(self, what, run, host, status):
        """Let what was stopped go on while a part of the cloud is away."""
        with self.away(what):
            self.signal('n1', signal.SIGCONT)
        self.assert_agree(run, host, status)

    def freeze(self, host):
        """Freeze nova-compute until Nova takes it for dead."""
        self.addCleanup(self.signal, host, signal.SIGCONT)
        self.signal(host, signal.SIGSTOP)

    def thaw(self, host):
        """Let it go on, and wait until Nova has seen it."""
        self.signal(host, signal.SIGCONT)
        self.stack.wait_computes()

    def assert_nothing(self, run):
        """A deleted server has left nothing on either host, nor anywhere else."""
        lab_client.wait(lambda: self.left_of(run), lambda found: not found, 60.0,
                        'nothing to be left')

    def left_of(self, run):
        """Return what a deleted server has left, in words."""
        found = [f'{name} has its domain' for name in steering.HOSTS
                 if run.server in self.domains(name)]
        found += [f'{name} has files of it' for name in steering.HOSTS
                  if (self.stack.where.host_instances(name) / run.server).exists()]
        found += [f'{name} has a record of it' for name in steering.HOSTS if any(
            self.stack.state_path(name).joinpath('migpolicy', 'recovery').glob('*.json'))]
        # Nova deletes that of its database with the server.
        found += [f'the migration is {record["status"]}' for record in self.admin.compute(
            'GET', f'/os-migrations?instance_uuid={run.server}')['migrations']]
        for consumer in (run.server, run.path.stem):
            found += [f'{consumer} has an allocation on {host}'
                      for host in self.admin.allocations(consumer)]
        return found


class UntoldTests(StrandsTest):
    """The messages are lost that tell the destination how it ended."""

    def test_the_destination_is_not_told_of_the_end(self):
        self.fail_at(f'lose {deaths.RPC}post_live_migration_at_destination')
        self.assert_agree(self.start(deaths.QUIET), 'n2', 'completed')

    def test_the_destination_is_not_told_to_clear(self):
        self.fail_at(f'lose {deaths.RPC}rollback_live_migration_at_destination')
        run = self.in_passes()
        self.admin.abort(run.server, run.migration)
        self.assert_agree(run, 'n1', 'cancelled')


def _state(pid):
    try:
        return pathlib.Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0]
    except OSError:
        return ''
