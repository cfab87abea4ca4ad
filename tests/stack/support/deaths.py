# SPDX-License-Identifier: Apache-2.0
"""nova-compute kills itself at an exact place (lab/openstack/dying), and comes back."""

from __future__ import annotations

from typing import NamedTuple

from lab import client as lab_client
from lab import guests
from lab.openstack.dying import DRIVER
from lab.openstack.dying import MANAGER
from lab.openstack.dying import NETWORK
from lab.openstack.dying import RPC
from nova_migpolicy import vocabulary
from tests.stack.support import phases
from tests.stack.support import recoveries
from tests.stack.support import shutdowns
from tests.stack.support import steering

QUIET = guests.Guest(kind='sweep', memory_mib=128, set_mib=8, rate_mib_s=4)


class Death(NamedTuple):
    """A place to die at.

    host: whose nova-compute it is. ends_on: where the guest is at last. status: Nova's word for
    the migration then. aborts: it is cancelled in the passes, so that it is rolled back. stops: so
    it is by nova-compute, which is told to stop. port: the server has a port.
    """

    place: str
    ends_on: str = 'n2'
    status: str = 'completed'
    host: str = 'n1'
    aborts: bool = False
    stops: bool = False
    port: bool = False


STAYS = {'ends_on': 'n1', 'status': 'failed'}
AFTER_THE_COPY = {
    'bindings': Death(f'before {NETWORK}migrate_instance_start', port=True),
    'volumes_in_libvirt': Death(f'before {DRIVER}post_live_migration'),
    'volumes': Death(f'before {MANAGER}_post_live_migration_remove_source_vol_connections'),
    'interfaces': Death(f'before {DRIVER}post_live_migration_at_source'),
    'files': Death(f'after {DRIVER}cleanup'),
    'before_the_destination_is_told': Death(
        f'before {RPC}post_live_migration_at_destination', port=True),
    'after_the_destination_was_told': Death(f'after {RPC}post_live_migration_at_destination'),
    'allocations': Death(f'before {MANAGER}_delete_allocation_after_move'),
    'record': Death('before nova_migpolicy.written:Records.drop'),
}
AROUND_THE_COPY = {
    'parked': Death(f'before {MANAGER}_do_live_migration', **STAYS),
    'preparing': Death(f'before {MANAGER}_do_pre_live_migration_from_source', **STAYS),
    'prepared': Death(
        f'after {MANAGER}_do_pre_live_migration_from_source', **STAYS, port=True),
    'rollback': Death(f'before {MANAGER}_revert_allocation', **STAYS, aborts=True),
    'rollback_of_volumes': Death(f'before {MANAGER}_rollback_volume_bdms', **STAYS, aborts=True),
    'rollback_at_the_destination': Death(
        f'before {RPC}rollback_live_migration_at_destination', **STAYS, aborts=True, port=True),
    'rollback_while_it_stops': Death(
        f'before {MANAGER}_revert_allocation', **STAYS, aborts=True, stops=True),
    'destination_told': Death(
        f'before {MANAGER}post_live_migration_at_destination', host='n2', port=True),
    'destination_ending': Death(
        f'before {DRIVER}post_live_migration_at_destination', host='n2', port=True),
}


PLACES = {**AROUND_THE_COPY, **AFTER_THE_COPY}
#: one of each kind is played in each run of the tests, the others are in tests/long
ALWAYS = frozenset({'parked', 'prepared', 'rollback', 'destination_told', 'bindings', 'files',
                    'after_the_destination_was_told', 'allocations'})


class DeathsTest(recoveries.RecoveryTest):
    """What the tables say, one test each."""

    nova_conf = shutdowns.conf(vocabulary.ABORT_ALL)
    ports = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.stack.mortal != {'n1', 'n2'}:
            cls.stack.mortal = frozenset({'n1', 'n2'})
            cls.stack.restart()

    def check(self, death):
        self.addCleanup(self.stack.death(death.host).unlink, missing_ok=True)
        self.stack.death(death.host).write_text(death.place)
        run = self.start(steering.BUSY if death.aborts else QUIET, port=death.port,
                         **phases.ENDLESS if death.aborts else {})
        if death.aborts:
            lab_client.wait(lambda: run.records('sample'), bool, steering.MIGRATION_TIMEOUT_S,
                            'memory to be copied')
            if death.stops:
                self.tell_to_stop()
            else:
                self.admin.abort(run.server, run.migration)
        self.wait_dead(death.host)
        self.start_again(death.host)
        self.assert_agree(run, death.ends_on, death.status)


class BootingDeathsTest(DeathsTest):
    """Where Nova would boot a second copy."""

    nova_conf = {**DeathsTest.nova_conf, 'DEFAULT': {'resume_guests_state_on_host_boot': True}}


def always(places):
    """Return those of a table that are played in each run."""
    return {name: death for name, death in places.items() if name in ALWAYS}


def others(places):
    """Return those that are not."""
    return {name: death for name, death in places.items() if name not in ALWAYS}


def add_tests(case, places):
    """Give a class a test for each place, by its name."""
    def test(death):
        return lambda self: self.check(death)

    for name, death in places.items():
        setattr(case, f'test_{name}', test(death))
