# SPDX-License-Identifier: Apache-2.0
"""The wires of the lab: a switch, a link from each machine to it, and how a link is slowed.

The switch is a bridge inside the machine 'ctl'. A link is a pair of devices: `eth0` in the
machine and `port-NAME` at the switch. A rate holds in both directions. Without shaping a link
is as fast as memory: about 1 GiB/s.
"""

from __future__ import annotations

import ipaddress

from lab import machine
from lab import needs

BRIDGE = 'br0'
PREFIX = 24
MIB = 1 << 20
# Of the ports of others: what goes there and what comes from there.
DROPPED = (('OUTPUT', '--dport'), ('INPUT', '--sport'))


def make_switch(switch: machine.Machine) -> None:
    """Give the started machine 'ctl' its bridge and its address."""
    _ip(switch, 'link', 'set', 'lo', 'up')
    _ip(switch, 'link', 'add', 'name', BRIDGE, 'type', 'bridge')
    _ip(switch, 'addr', 'add', f'{switch.address}/{PREFIX}', 'dev', BRIDGE)
    _ip(switch, 'link', 'set', BRIDGE, 'up')


def plug(node: machine.Machine, switch: machine.Machine) -> None:
    """Join a started machine to the switch."""
    _ip(node, 'link', 'set', 'lo', 'up')
    port = _port(node)
    _ip(switch, 'link', 'add', 'name', port, 'type', 'veth', 'peer', 'name', 'eth0',
        'netns', str(node.pid))
    _ip(switch, 'link', 'set', port, 'master', BRIDGE, 'up')
    _ip(node, 'addr', 'add', f'{node.address}/{PREFIX}', 'dev', 'eth0')
    _ip(node, 'link', 'set', 'eth0', 'up')


def shape(node: machine.Machine, switch: machine.Machine, *, rate_mib_s: float | None = None,
          delay_ms: float | None = None) -> None:
    """Slow a machine's link, replacing what was set before; without values it is fast again.

    :param rate_mib_s: MiB per second of payload and headers, each direction
    :param delay_ms: added to each packet, each direction
    :raises LabError: on a value that is not positive, or if the kernel has no such queue
    """
    for value in (rate_mib_s, delay_ms):
        if value is not None and value <= 0:
            raise needs.LabError(f'a rate or delay must be more than 0, not {value:g}')
    for where, device in ((node, 'eth0'), (switch, _port(node))):
        _tc(where, 'qdisc', 'del', 'dev', device, 'root', check=False)
        parent = ['root', 'handle', '1:']
        if rate_mib_s is not None:
            # The bucket holds what passes in 10 ms, and never less than the biggest packet that
            # the stack hands down in one piece; the queue behind it, 20 ms.
            burst = max(int(rate_mib_s * MIB / 100), 160 * 1024)
            _tc(where, 'qdisc', 'add', 'dev', device, *parent, 'tbf',
                'rate', f'{int(rate_mib_s * MIB)}bps', 'burst', str(burst), 'latency', '50ms')
            parent = ['parent', '1:1', 'handle', '10:']
        if delay_ms is not None:
            _delay(where, device, parent, delay_ms)


def cut(node: machine.Machine, switch: machine.Machine) -> None:
    """Pull a machine's cable: packets are lost, no connection is closed."""
    _ip(switch, 'link', 'set', _port(node), 'nomaster')


def mend(node: machine.Machine, switch: machine.Machine) -> None:
    """Plug the cable in again."""
    _ip(switch, 'link', 'set', _port(node), 'master', BRIDGE)


def drop(node: machine.Machine, ports: str) -> None:
    """Lose what a machine sends to and gets from ports of others; no connection is closed.

    :param ports: a range, first:last
    """
    for chain, option in DROPPED:
        node.network(['iptables', '-A', chain, '-p', 'tcp', option, ports, '-j', 'DROP'])


def deliver(node: machine.Machine, ports: str) -> None:
    """Undo drop; nothing where that was not done."""
    for chain, option in DROPPED:
        node.network(['iptables', '-D', chain, '-p', 'tcp', option, ports, '-j', 'DROP'],
                     check=False)


def show(node: machine.Machine) -> str:
    """Return how a machine's link is shaped, in tc's words; '' if it is not."""
    text = node.network(['tc', 'qdisc', 'show', 'dev', 'eth0']).stdout
    return '; '.join(line for line in text.splitlines() if 'tbf' in line or 'netem' in line)


def address(number: int) -> str:
    """Return the address of the n-th host (1: 10.77.0.11), or of the switch (0: 10.77.0.1)."""
    return str(ipaddress.IPv4Address('10.77.0.0') + (10 + number if number else 1))


def _delay(where: machine.Machine, device: str, parent: list[str], delay_ms: float) -> None:
    done = _tc(where, 'qdisc', 'add', 'dev', device, *parent, 'netem',
               'delay', f'{delay_ms:g}ms', 'limit', '100000', check=False)
    if done:
        raise needs.LabError(
            f'this kernel cannot delay packets ({done}); it needs the module sch_netem '
            '(CONFIG_NET_SCH_NETEM), which stock Debian kernels have. A rate works without it')


def _port(node: machine.Machine) -> str:
    return f'port-{node.name}'


def _ip(where: machine.Machine, *words: str) -> None:
    where.network(['ip', *words])


def _tc(where: machine.Machine, *words: str, check: bool = True) -> str:
    done = where.network(['tc', *words], check=check)
    return done.stderr.strip() if done.returncode else ''
