# SPDX-License-Identifier: Apache-2.0
"""Records of migrations for tests."""

from __future__ import annotations

from nova_migpolicy.recovery import evidence as evidence_mod
from nova_migpolicy.recovery import record

SERVER = 'c9a6e1f4-0b5d-4c7a-8e21-3f90d1b2a4c6'
MIGRATION = '5f2d8b30-91c4-4e6f-a7d8-0c1b2e3f4a59'
OTHER = '0e7c4a12-6d3b-4f85-9b1e-7a2c5d8f3e60'


def a_record(**changes):
    """A migration of an hour ago, with all that is written down of one."""
    return record.Record(**{
        'server': SERVER, 'migration': MIGRATION, 'source': 'compute1', 'destination': 'compute2',
        'written': evidence_mod.Written.COPYING, 'was_paused': False, 'block_migration': True,
        'started_s': 1795870000.5, 'disk_paths': ('/var/lib/nova/instances/a/disk',),
        'request_id': 'req-1', 'user_id': 'u1', 'project_id': 'p1',
        'migrate_data': {'nova_object.name': 'LibvirtLiveMigrateData', 'nova_object.data': {
            'graphics_listen_addr_vnc': '::', 'vifs': [{'port_id': 'x'}], 'dst_wants': None}},
        'source_bdms': {'nova_object.data': {'objects': [{'connection_info': '{"lun": 1}'}]}},
        'policy': {'fields': {'max_downtime_ms': 500, 'remedies': ['bandwidth']},
                   'origins': {'max_downtime_ms': 'flavor'}, 'request': {},
                   'retuned': {'bandwidth_mib_s': 10}, 'held': {'bandwidth_mib_s': 10}},
        'settings': {'bandwidth_mib_s': 10, 'max_downtime_ms': 500, 'throttle_is_held': True},
        'undecided': {'since_s': 1795873000.0, 'kind': 'hold', 'reason': 'both run the guest'},
        'tries': 2, **changes})


def least():
    """The document of a migration with nothing but what every version writes."""
    return {'format': 'nova_migpolicy.recovery', 'version': 1, 'needs': 1, 'server': SERVER,
            'migration': MIGRATION, 'source': 'compute1', 'destination': 'compute2',
            'written': 'preparing', 'was_paused': False, 'block_migration': False,
            'started_s': 1795870000}
