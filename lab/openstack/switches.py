# SPDX-License-Identifier: Apache-2.0
"""Networks of servers: Open vSwitch and OVN, so that ports are really bound, as in a cloud.

OVN's databases and northd run on the controller; each host has its Open vSwitch and OVN's
controller. Packets are switched in userspace (`netdev`), which takes no kernel module. A third
link of each host, `data0`, joins its bridge `br-data` to one on the controller.
"""

from __future__ import annotations

import pathlib

from lab import machine
from lab.openstack import layout
from lab.openstack import services

PHYSICAL_NETWORK = 'physical'
_BRIDGE = 'br-data'
_NORTHBOUND, _SOUTHBOUND = 6641, 6642
_QUIET = ('-vconsole:warn', '-vsyslog:off')
_DATABASES = {'nb': _NORTHBOUND, 'sb': _SOUTHBOUND}


def northbound() -> str:
    """Return the address of OVN's database of what is wanted."""
    return f'tcp:{layout.CONTROLLER}:{_NORTHBOUND}'


def southbound() -> str:
    """Return the address of OVN's database of what is there."""
    return f'tcp:{layout.CONTROLLER}:{_SOUTHBOUND}'


def make(run: services.Services) -> None:
    """Start OVN's databases and northd on the controller, and give it the servers' bridge."""
    node = run.controller
    node.network(['ip', 'link', 'add', 'name', _BRIDGE, 'type', 'bridge'])
    node.network(['ip', 'link', 'set', _BRIDGE, 'up'])
    node.run(['mkdir', '-p', '/run/ovn', '/run/openvswitch'])
    for name, port in _DATABASES.items():
        _database(run, node, f'ovn-{name}', f'/usr/share/ovn/ovn-{name}.ovsschema',
                  f'/run/ovn/ovn{name}_db.sock', f'ptcp:{port}:{layout.CONTROLLER}')
    run.start(node, 'ovn-northd', ['ovn-northd', *_QUIET])


def plug(run: services.Services, node: machine.Machine, number: int) -> None:
    """Give a host its switch, and join it to the servers' network.

    :param number: the host's, from 1
    """
    port = f'data-{node.name}'
    run.controller.network(['ip', 'link', 'add', 'name', port, 'type', 'veth',
                            'peer', 'name', 'data0', 'netns', str(node.pid)])
    run.controller.network(['ip', 'link', 'set', port, 'master', _BRIDGE, 'up'])
    node.network(['ip', 'link', 'set', 'data0', 'up'])
    node.run(['mkdir', '-p', '/run/ovn', '/run/openvswitch'])
    # os-vif asks at this address, where it is told no other.
    _database(run, node, f'ovs-{node.name}', '/usr/share/openvswitch/vswitch.ovsschema',
              '/run/openvswitch/db.sock', 'ptcp:6640:127.0.0.1')
    about = {'system-id': node.name, 'hostname': node.name, 'ovn-remote': southbound(),
             'ovn-encap-type': 'geneve', 'ovn-encap-ip': layout.host_address(number),
             'ovn-bridge-datapath-type': 'netdev',
             'ovn-bridge-mappings': f'{PHYSICAL_NETWORK}:{_BRIDGE}'}
    node.run(['ovs-vsctl', '--no-wait', 'init', '--',
              'set', 'open_vswitch', '.', *(f'external-ids:{key}="{value}"'
                                            for key, value in about.items()), '--',
              'add-br', _BRIDGE, '--', 'set', 'bridge', _BRIDGE, 'datapath_type=netdev', '--',
              'add-port', _BRIDGE, 'data0'])
    run.start(node, f'vswitchd-{node.name}', ['ovs-vswitchd', *_QUIET])
    run.start(node, f'ovn-{node.name}', ['ovn-controller', *_QUIET])


def chassis(controller: machine.Machine, port: str) -> str:
    """Return the host whose switch has a port, as OVN says; '' for none.

    :param port: its id
    """
    def ask(*words: str) -> str:
        return controller.run(['ovn-sbctl', '--bare', '--columns', *words]).stdout.strip()

    found = ask('chassis', 'find', 'Port_Binding', f'logical_port={port}', 'up=true')
    return found and ask('name', 'list', 'Chassis', found)


def _database(run: services.Services, node: machine.Machine, name: str, schema: str, socket: str,
              address: str) -> None:
    """Start a database server of a machine, and wait until it listens."""
    folder = run.where.work / node.name / 'ovs'
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f'{name}.db'
    node.run(['ovsdb-tool', 'create', str(file), schema])
    run.start(node, name, ['ovsdb-server', file, f'--remote=punix:{socket}',
                           f'--remote={address}', f'--unixctl=/run/ovn/{name}.ctl', *_QUIET])
    run.wait(name, pathlib.Path(node.path(socket)).exists)
