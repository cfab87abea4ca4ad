# SPDX-License-Identifier: Apache-2.0
"""The services' configuration files: what differs from the defaults, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
import pathlib
from typing import Any

from lab import needs
from lab.openstack import layout
from lab.openstack import switches

Sections = dict[str, dict[str, Any]]
_APP = 'osapi_compute_app_v21'
_AUTH: dict[str, Any] = {
    'auth_type': 'password', 'auth_url': layout.AUTH_URL, 'username': 'admin',
    'password': layout.PASSWORD, 'project_name': 'admin', 'user_domain_id': 'default',
    'project_domain_id': 'default', 'region_name': layout.REGION,
}


def write(path: pathlib.Path, sections: Mapping[str, Mapping[str, Any]]) -> None:
    """Write an ini file; a list becomes one line for each of its values."""
    lines = []
    for section, options in sections.items():
        lines.append(f'[{section}]')
        for key, value in options.items():
            values = value if isinstance(value, (list, tuple)) else [value]
            lines += [f'{key} = {_text(one)}' for one in values]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(lines) + '\n')


def merge(sections: Mapping[str, Mapping[str, Any]],
          more: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Return the sections with more laid over them; a value of None removes an option."""
    merged = {name: dict(options) for name, options in sections.items()}
    for name, options in more.items():
        merged.setdefault(name, {}).update(options)
    return {name: {key: value for key, value in options.items() if value is not None}
            for name, options in merged.items()}


def write_all(where: layout.Layout, control_conf: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the files of all services but the computes.

    :param control_conf: laid over those of Nova's own
    """
    write(where.conf('keystone/keystone.conf'), _keystone(where))
    write(where.conf('placement/placement.conf'), _placement(where))
    write(where.conf('glance/glance-api.conf'), _glance(where))
    write(where.conf('neutron/neutron.conf'), _neutron(where))
    for service in ('api', 'conductor', 'scheduler', 'manage'):
        control = {'api_database': {'connection': layout.database('nova_api')},
                   'database': {'connection': layout.database('nova_cell1')}}
        found = merge(_nova(where, service, 'ctl', layout.CONTROLLER), control)
        write(where.conf(f'nova/{service}.conf'), merge(found, control_conf))
    where.conf('nova/api-paste.ini').write_text(with_filter(where.paste.read_text()))


def with_filter(paste: str) -> str:
    """Put our filter into the pipelines of Nova's api-paste.ini, as an operator would.

    :raises LabError: if it is not in the place that is told in the docs
    """
    place = f'keystonecontext {_APP}'
    if place not in paste:
        raise needs.LabError(f'no pipeline of api-paste.ini has {place!r} in it')
    return paste.replace(place, f'keystonecontext {layout.API_FILTER} {_APP}')


def compute(where: layout.Layout, host: str, number: int, migration_address: str,
            driver: str) -> Sections:
    """Return the sections of a nova-compute.

    :param number: the host's number, from 1
    :param migration_address: where other hosts send its incoming migrations
    :param driver: 'migpolicy' or 'stock'
    """
    return merge(_nova(where, host, host, layout.host_address(number)), {
        'DEFAULT': {
            'compute_driver': layout.DRIVERS[driver],
            'instances_path': where.instances,
            'debug': True,
        },
        'libvirt': {
            # Emulated everywhere: a /dev/kvm that opens may still be one that runs no guest, and
            # what the tests see should not depend on the machine.
            'virt_type': 'qemu',
            'cpu_mode': 'none',
            'images_type': 'raw',
            'live_migration_scheme': 'tcp',
            'live_migration_inbound_addr': migration_address,
        },
    })


def _keystone(where: layout.Layout) -> Sections:
    keys = where.data / 'keystone'
    return {
        'DEFAULT': {'log_file': where.log / 'keystone.log'},
        'database': {'connection': layout.database('keystone')},
        'token': {'provider': 'fernet'},
        'fernet_tokens': {'key_repository': keys / 'fernet'},
        'credential': {'key_repository': keys / 'credential'},
        'cache': {'enabled': True, 'backend': 'dogpile.cache.memory'},
    }


def _placement(where: layout.Layout) -> Sections:
    return {
        'DEFAULT': {'log_file': where.log / 'placement.log'},
        'placement_database': {'connection': layout.database('placement'),
                               'sync_on_startup': True},
        'keystone_authtoken': _AUTH,
    }


def _glance(where: layout.Layout) -> Sections:
    return {
        'DEFAULT': {'log_file': where.log / 'glance.log', 'enabled_backends': 'fs:file'},
        'database': {'connection': layout.database('glance')},
        'glance_store': {'default_backend': 'fs'},
        'fs': {'filesystem_store_datadir': where.data / 'images'},
        'os_glance_staging_store': {'filesystem_store_datadir': where.data / 'staging'},
        'os_glance_tasks_store': {'filesystem_store_datadir': where.data / 'tasks'},
        'paste_deploy': {'flavor': 'keystone',
                         'config_file': where.venv / 'etc/glance/glance-api-paste.ini'},
        'keystone_authtoken': _AUTH,
    }


def neutron_with_ports(where: layout.Layout) -> Sections:
    """Return the sections of a neutron whose ports are bound by OVN, and which tells Nova so."""
    return merge(_neutron(where), {
        'DEFAULT': {'notify_nova_on_port_status_changes': True,
                    'notify_nova_on_port_data_changes': True},
        'nova': _AUTH,
        'ml2': {'type_drivers': 'flat,geneve', 'mechanism_drivers': 'ovn'},
        'ml2_type_flat': {'flat_networks': switches.PHYSICAL_NETWORK},
        'ml2_type_geneve': {'vni_ranges': '1:1000', 'max_header_size': 38},
        'ovn': {'ovn_nb_connection': switches.northbound(),
                'ovn_sb_connection': switches.southbound()},
    })


def _neutron(where: layout.Layout) -> Sections:
    # No network is made: Nova asks neutron for the security groups of each server it shows.
    return {
        'DEFAULT': {
            'log_file': where.log / 'neutron.log',
            'core_plugin': 'ml2',
            'service_plugins': '',
            'transport_url': layout.TRANSPORT,
            'api_paste_config': where.venv / 'etc/neutron/api-paste.ini',
            'state_path': where.data / 'neutron',
            'notify_nova_on_port_status_changes': False,
            'notify_nova_on_port_data_changes': False,
        },
        'oslo_concurrency': {'lock_path': where.data / 'neutron/lock'},
        'database': {'connection': layout.database('neutron')},
        'ml2': {'type_drivers': 'flat', 'tenant_network_types': '', 'mechanism_drivers': 'logger'},
        'keystone_authtoken': _AUTH,
    }


def _nova(where: layout.Layout, service: str, machine: str, address: str) -> Sections:
    # privsep would call sudo, which a bare machine has not.
    helper = {'helper_command': f'{layout.VENV}/bin/privsep-helper '
                                f'--config-file {layout.ETC}/nova/{service}.conf'}
    return {
        'DEFAULT': {
            'transport_url': layout.TRANSPORT,
            'log_file': where.log / f'nova-{service}.log',
            'log_options': False,
            'state_path': where.state(machine),
            'my_ip': address,
            'host': machine,
            'report_interval': 3,
            'periodic_fuzzy_delay': 0,
        },
        'keystone_authtoken': _AUTH,
        'service_user': {'send_service_user_token': True, **_AUTH},
        'placement': _AUTH,
        'neutron': _AUTH,
        'oslo_concurrency': {'lock_path': where.state(machine) / 'lock'},
        'scheduler': {'workers': 1, 'discover_hosts_in_cells_interval': 1},
        'conductor': {'workers': 1},
        'vnc': {'enabled': False},
        'nova_sys_admin': helper,
        'privsep_osbrick': helper,
        'vif_plug_ovs_privileged': helper,
    }


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
