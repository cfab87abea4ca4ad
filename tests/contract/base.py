# SPDX-License-Identifier: Apache-2.0
"""Nova's driver without a hypervisor: its own methods over a domain that only takes notes."""

import fixtures
import libvirt
import nova.conf
from nova import context as nova_context
from nova import objects
from nova.virt.libvirt import driver as libvirt_driver
from nova.virt.libvirt import guest as libvirt_guest
import testtools

from nova_migpolicy.policy import keys

CONF = nova.conf.CONF
UUID = '11111111-2222-3333-4444-555555555555'


class FakeDomain:
    """Notes the calls that reach it; `on_migrate` runs inside of the migrate call."""

    def __init__(self, on_migrate=None):
        self.calls = []
        self.definition = '<domain/>'
        self._on_migrate = on_migrate

    def migrateToURI3(self, destination, params=None, flags=0):
        self.calls.append(('migrate', destination, params, flags))
        if self._on_migrate:
            self._on_migrate()
        return 0

    def abortJob(self):
        self.calls.append(('abort',))
        return 0

    def ID(self):
        return 7

    def XMLDesc(self, flags=0):
        return self.definition

    def UUIDString(self):
        return UUID


class ContractCase(testtools.TestCase):
    """A test with Nova's configuration at its defaults and its objects registered."""

    def setUp(self):
        super().setUp()
        objects.register_all()
        self.useFixture(fixtures.MonkeyPatch('sys.argv', ['contract']))
        CONF([], project='nova', default_config_files=[], default_config_dirs=[])
        self.addCleanup(CONF.reset)
        self.set_option('state_path', self.useFixture(fixtures.TempDir()).path)
        # The kind for which Nova's operation builds no XML of its own.
        self.set_option('virt_type', 'parallels', 'libvirt')
        self.log = self.useFixture(fixtures.FakeLogger())
        self.context = nova_context.get_admin_context()

    def set_option(self, name, value, group=None):
        CONF.set_override(name, value, group=group)
        self.addCleanup(CONF.clear_override, name, group=group)

    def instance(self, extra_specs=None, system_metadata=None, vm_state='active'):
        instance = objects.Instance(
            self.context, uuid=UUID, id=1, vm_state=vm_state, task_state='migrating',
            host='source', node='source', project_id='p', user_id='u', progress=0,
            system_metadata=system_metadata or {}, metadata={}, display_name='s')
        instance.flavor = objects.Flavor(
            memory_mb=256, vcpus=1, root_gb=1, ephemeral_gb=0, swap=0,
            extra_specs=extra_specs or {})
        instance.resources = None
        instance.info_cache = None
        instance.migration_context = None
        return instance

    def migrate_data(self):
        # As the destination fills it in.
        data = objects.LibvirtLiveMigrateData(
            block_migration=False, serial_listen_addr='0.0.0.0', serial_listen_ports=[], bdms=[],
            graphics_listen_addr_vnc='0.0.0.0', graphics_listen_addr_spice='0.0.0.0',
            supported_perf_events=[])
        data.migration = objects.Migration(
            self.context, id=3, uuid='33333333-2222-3333-4444-555555555555', status='running')
        return data

    def driver(self, domain, cls=libvirt_driver.LibvirtDriver):
        """A driver as nova-compute makes it, except that its one guest has this domain."""
        driver = cls(None)
        guest = libvirt_guest.Guest(domain)
        self.useFixture(fixtures.MockPatchObject(
            driver._host, 'get_guest', lambda instance: guest))
        driver._live_migration_flags = libvirt.VIR_MIGRATE_LIVE
        driver._block_migration_flags = (
            libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_NON_SHARED_INC)
        return driver


def policy(**values):
    """A policy with some values changed."""
    return keys.Policy(**values)
