# SPDX-License-Identifier: Apache-2.0
"""Records of migrations for tests."""

from __future__ import annotations

import dataclasses

from nova_migpolicy.recovery import record

SERVER = 'c9a6e1f4-0b5d-4c7a-8e21-3f90d1b2a4c6'
MIGRATION = '5f2d8b30-91c4-4e6f-a7d8-0c1b2e3f4a59'
OTHER = '0e7c4a12-6d3b-4f85-9b1e-7a2c5d8f3e60'


#: what a record of this version looks like; whoever changes it has to think of the others
DOCUMENT = {
    'format': 'nova_migpolicy.recovery', 'version': 1, 'needs': 1,
    'server': SERVER, 'migration': MIGRATION,
    'source': 'compute1', 'destination': 'compute2', 'written': 'copying',
    'was_paused': False, 'block_migration': True, 'started_s': 1795870000.5,
    'request_id': 'req-1', 'user_id': 'u1', 'project_id': 'p1',
    'migrate_data': {'nova_object.name': 'LibvirtLiveMigrateData', 'nova_object.data': {
        'graphics_listen_addr_vnc': '::', 'vifs': [{'port_id': 'x'}], 'dst_wants': None}},
    'source_bdms': {'nova_object.data': {'objects': [{'connection_info': '{"lun": 1}'}]}},
    'policy': {'fields': {'max_downtime_ms': 500, 'remedies': ['bandwidth']},
               'origins': {'max_downtime_ms': 'flavor'}, 'request': {},
               'retuned': {'bandwidth_mib_s': 10}, 'held': {'bandwidth_mib_s': 10}},
    'undecided': {'since_s': 1795873000.0, 'kind': 'hold', 'reason': 'both run the guest',
                  'seen_s': 1795873060.0, 'seen': {
                      'source': 'runs', 'job': False, 'destination': 'has arrived',
                      'home': 'source', 'status': 'under way', 'migrating': True}},
    'tries': 2}


def a_record(**changes):
    """A migration of an hour ago, with all that is written down of one."""
    return dataclasses.replace(record.Record.from_dict(DOCUMENT), **changes)


def least():
    """The document of a migration with nothing but what every version writes."""
    return {'format': 'nova_migpolicy.recovery', 'version': 1, 'needs': 1, 'server': SERVER,
            'migration': MIGRATION, 'source': 'compute1', 'destination': 'compute2',
            'written': 'preparing', 'was_paused': False, 'block_migration': False,
            'started_s': 1795870000}
