# SPDX-License-Identifier: Apache-2.0
"""No live-migration option of Nova's is forgotten, none is made up, and none stops the driver."""

import ast
import inspect
import re

import fixtures
from nova.compute import manager
from nova.compute import rpcapi
from nova.conductor.tasks import live_migrate
from nova.conf import opts as nova_opts
from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt import migration as libvirt_migration
from oslo_config import types

from nova_migpolicy.compute import compat
from nova_migpolicy.compute import driver
from nova_migpolicy.policy import keys
from nova_migpolicy.policy import nova_options
from nova_migpolicy.policy import nova_values
from nova_migpolicy import site_settings
from tests.contract import base

ABOUT = re.compile(r'live[-_ ]migrat', re.IGNORECASE)

# What mentions live migrations, or is read by the code for them, and is about something else.
OTHER = {
    ('compute', 'max_disk_devices_to_attach'): 'how many disks a server has',
    ('DEFAULT', 'reserved_host_disk_mb'): 'how full a disk may be',
    ('DEFAULT', 'instance_delete_interval'): 'when deleted servers go',
    ('DEFAULT', 'host'): 'the name of the host',
    ('libvirt', 'file_backed_memory'): 'where memory is kept',
    ('libvirt', 'images_type'): 'where disks are kept',
    ('libvirt', 'migration_inbound_addr'): 'cold migrations; it names the one for live ones',
    ('libvirt', 'virt_type'): 'the kind of hypervisor',
    ('serial_console', 'enabled'): 'consoles',
    ('serial_console', 'proxyclient_address'): 'consoles',
    ('spice', 'server_listen'): 'consoles',
    ('vnc', 'server_listen'): 'consoles',
    ('DEFAULT', 'rpc_response_timeout'): 'the message bus',
    ('DEFAULT', 'use_cow_images'): 'where disks are kept',
}

MODULES = (manager, rpcapi, live_migrate, libvirt_driver, libvirt_migration)


def declared():
    """All of Nova's own options."""
    return {(str(getattr(group, 'name', group)), opt.name): opt
            for group, opts in nova_opts.list_opts() for opt in opts}


def read_for_live_migrations():
    """The options that Nova's code for live migrations reads."""
    found = set()
    for module in MODULES:
        for function in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(function, ast.FunctionDef) and (
                    module in (live_migrate, libvirt_migration)
                    or 'live_migrat' in function.name):
                for node in ast.walk(function):
                    match = isinstance(node, ast.Attribute) and re.fullmatch(
                        r'CONF\.(?:(\w+)\.)?(\w+)', ast.unparse(node))
                    if match and (match[1] or match[2] not in base.CONF._groups):
                        found.add((match[1] or 'DEFAULT', match[2]))
    return found


class TestTable(base.ContractCase):

    def test_no_option_of_this_release_is_forgotten(self):
        about = {name for name, opt in declared().items()
                 if ABOUT.search(f'{opt.name} {opt.help or ""}')}
        self.assertLess({('libvirt', 'live_migration_bandwidth'),
                         ('DEFAULT', 'max_concurrent_live_migrations')}, about)
        self.assertEqual(
            set(), about - set(nova_options.OPTIONS) - set(OTHER),
            'put them into policy.nova_options with what becomes of them')

    def test_no_option_that_is_read_is_forgotten(self):
        read = read_for_live_migrations()
        self.assertLess({('libvirt', 'live_migration_downtime_delay'),
                         ('DEFAULT', 'vif_plugging_timeout'),
                         ('workarounds', 'skip_hypervisor_version_check_on_lm')}, read)
        self.assertEqual(
            set(), read - set(nova_options.OPTIONS) - set(OTHER),
            'put them into policy.nova_options with what becomes of them')

    def test_none_is_made_up(self):
        release, _ = compat.nova_release()
        there = set(declared())
        for name, option in nova_options.OPTIONS.items():
            self.assertEqual(release >= option.since, name in there, option.title)

    def test_defaults_are_novas(self):
        opts = declared()
        for option, default in (
                (nova_options.DOWNTIME, nova_values.DOWNTIME_MS),
                (nova_options.DOWNTIME_STEPS, nova_values.DOWNTIME_STEPS),
                (nova_options.COMPLETION_TIMEOUT, nova_values.TIMEOUT_S_PER_GIB),
                (nova_options.TIMEOUT_ACTION, nova_values.TIMEOUT_ACTION),
                (nova_options.BANDWIDTH, nova_values.BANDWIDTH),
                (nova_options.CONNECTIONS, nova_values.CONNECTIONS),
                (nova_options.MONITOR_INTERVAL, nova_values.PROGRESS_INTERVAL_S)):
            if compat.nova_release()[0] >= option.since:
                self.assertEqual(default, opts[option.group, option.name].default, option.title)

    def test_unset_ones_are_not_spoken_of(self):
        found = site_settings.Store(base.CONF).settings
        self.assertEqual(((), {}, 5.0), (
            found.remarks, dict(found.libvirt), found.progress_interval_s))


class TestValues(base.ContractCase):
    """Whatever Nova's own types permit, and what they do not, the driver is made."""

    def setUp(self):
        super().setUp()
        self.path = self.useFixture(fixtures.TempDir()).join('nova.conf')

    def made(self, option, value):
        """What our driver has resolved, and what it has said of the option."""
        with open(self.path, 'w', encoding='utf-8') as stream:
            stream.write(f'[{option.group}]\n{option.name} = {value}\n')
        base.CONF([], project='nova', default_config_files=[self.path], default_config_dirs=[])
        before = len(self.log.output)
        made = self.driver(base.FakeDomain(), driver.LibvirtDriver)
        policies = [made._policies.resolve(self.instance(extra_specs), {}).policy
                    for extra_specs in ({}, {'migpolicy:profile': 'nova'})]
        self.assertLessEqual(1, made._policies.progress_interval_s)
        told = [line for line in self.log.output[before:].splitlines()
                if f'nova.conf {option.title} = ' in line]
        return policies, told

    def readable(self, option):
        kind = declared()[option.group, option.name].type
        if isinstance(kind, types.Integer):
            numbers = {-10 ** 30, -1, 0, 1, 2, kind.min, 300, 125_000_000, 10 ** 30} - {None}
            return [str(number) for number in numbers if kind.min is None or number >= kind.min]
        return ['true', 'false'] if isinstance(kind, types.Boolean) else list(kind.choices)

    def options(self):
        release, _ = compat.nova_release()
        return [option for option in nova_options.READ if release >= option.since]

    def test_what_nova_can_read(self):
        for option in self.options():
            for value in self.readable(option):
                policies, told = self.made(option, value)
                self.check(policies)
                self.assertLessEqual(len(told), 1, told)
                if option.fate is nova_options.Fate.NO_EFFECT:
                    self.assertIn(option.instead, told[0])

    def test_what_nova_cannot_read(self):
        for option in self.options():
            for value in ('nonsense', '$nope', '1.5', '-1 MiB/s'):
                policies, told = self.made(option, value)
                self.check(policies)
                self.assertEqual(1, len(told), told)
                self.assertIn(f'= {value}: it cannot be read', told[0])

    def test_nothing(self):
        for option in self.options():
            self.check(self.made(option, '')[0])

    def check(self, policies):
        """All of the policies' values are such as the keys take."""
        for policy in policies:
            for key in keys.KEYS.values():
                self.assertEqual(getattr(policy, key.name), key.parse(getattr(policy, key.name)))
        self.assertEqual(['balanced', 'nova'], [policy.profile for policy in policies])
