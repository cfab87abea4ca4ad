# SPDX-License-Identifier: Apache-2.0
"""What is tested of Nova's own options on the oldest and the newest Nova.

Both hosts are started with odd values that Nova can read, each with others, so that two starts
show all of them. What Nova cannot read, it refuses by itself.
"""

from __future__ import annotations

import json

import libvirt_qemu

from lab import client as lab_client
from lab import guests
from nova_migpolicy.policy import nova_options
from nova_migpolicy.policy import nova_values
from tests.stack.support import steering

MIB = 2 ** 20
BYTES = 'in bytes/s it is 119 MiB/s; 119 MiB/s is taken'
WITHOUT_EFFECT = {
    'live_migration_downtime': 700,
    'live_migration_downtime_steps': 5,
    'live_migration_downtime_delay': 30,
    'live_migration_completion_timeout': 900,
    'live_migration_timeout_action': 'force_complete',
    'live_migration_permit_auto_converge': True,
}
# Nova's default, which the lab changes: all options are read at the start, to be logged.
AS_SITES = {'DEFAULT': {'log_options': True}}
# Some seconds at the rate that is taken, and then it finishes by itself.
GUEST = guests.Guest(kind='sweep', memory_mib=256, set_mib=128, rate_mib_s=8)


class OddOptionsTests:
    """Nova's own options, as they should not be, and such as do not count."""

    nova_conf = {}
    seconds = 45
    # As this release of Nova has them beside the rate: value, and what the log says is taken.
    odd_on_n1: dict[str, tuple[object, str]] = {}
    odd_on_n2: dict[str, tuple[object, str]] = {}

    def setUp(self):
        super().setUp()
        self.odd = {
            'n1': {'live_migration_bandwidth': (-1, '30 MiB/s is taken'), **self.odd_on_n1},
            'n2': {'live_migration_bandwidth': (125_000_000, BYTES), **self.odd_on_n2}}
        self.addCleanup(self.put_back)
        values = {host: {name: value for name, (value, _) in odd.items()}
                  for host, odd in self.odd.items()}
        self.stack.configure({**AS_SITES, 'libvirt': {**values['n1'], **WITHOUT_EFFECT}}, ['n1'])
        self.stack.configure({**AS_SITES, 'libvirt': values['n2']}, ['n2'])
        self.stack.restart()

    def put_back(self):
        self.stack.configure(self.nova_conf)
        self.stack.restart()

    def told(self, host, name):
        """What a host's nova-compute has said of an option."""
        log = self.stack.log(host).read_text()
        return [line for line in log.splitlines() if f'nova.conf [libvirt] {name} = ' in line]

    def test_nova_compute_serves_and_says_what_is_taken(self):
        for host, odd in self.odd.items():
            for name, (value, taken) in odd.items():
                [line] = self.told(host, name)
                self.assertIn(' WARNING nova_migpolicy.site_settings ', line)
                self.assertIn(f'{name} = {value}: ', line)
                self.assertIn(taken, line)
        for name, value in WITHOUT_EFFECT.items():
            option = nova_options.OPTIONS['libvirt', name]
            [line] = self.told('n1', name)
            self.assertIn(f'{name} = {value}: it has no effect', line)
            self.assertIn(f'set {option.instead} instead', line)

        run = self.start(GUEST, parallel_connections=1)
        domain = self.stack.hosts['n1'].connect().lookupByUUIDString(run.server)
        lab_client.wait(
            lambda: json.loads(libvirt_qemu.qemuMonitorCommand(
                domain, '{"execute": "query-migrate-parameters"}', 0))['return']['max-bandwidth'],
            lambda rate: rate == nova_values.GENTLE_MIB_S * MIB, steering.MIGRATION_TIMEOUT_S,
            'the rate that is taken')
        self.assert_moved(self.finish(run))
        [start] = run.records('start')
        for key in ('bandwidth_mib_s', 'max_bandwidth_mib_s'):
            self.assertEqual((nova_values.GENTLE_MIB_S, 'nova.conf [libvirt]'),
                             (start['policy'][key], start['origins'][key]))

        name = 'live_migration_completion_timeout'
        values = {option: value for option, (value, _) in self.odd['n1'].items()}
        self.stack.configure(
            {**AS_SITES, 'libvirt': {**values, **WITHOUT_EFFECT, name: 901}}, ['n1'])
        self.stack.reload('n1')
        self.wait_logged('n1', f'{name} = 901: it has no effect')
        self.assertEqual(2, len(self.told('n1', name)))
        for other in {**self.odd['n1'], **WITHOUT_EFFECT}.keys() - {name}:
            self.assertEqual(1, len(self.told('n1', other)), other)
