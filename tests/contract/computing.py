# SPDX-License-Identifier: Apache-2.0
"""Nova's manager of compute, with fakes where it ends: the driver, the database, the bus."""

import pathlib

import fixtures
from nova.compute import manager
from nova import objects
import nova.rpc
from oslo_messaging import conffixture

from nova_migpolicy import written
from tests.contract import base

#: for what has to come; nothing waits for so long
LONG_S = 30.0


class ManagerCase(base.ContractCase):
    """A test with a manager, and the records of its host."""

    def setUp(self):
        super().setUp()
        self.useFixture(conffixture.ConfFixture(base.CONF)).transport_url = 'fake:/'
        nova.rpc.init(base.CONF)
        self.addCleanup(nova.rpc.cleanup)
        for path in ('nova.virt.driver.load_compute_driver',
                     'nova.scheduler.client.report.SchedulerReportClient'):
            self.useFixture(fixtures.MockPatch(path))
        self.manager = manager.ComputeManager()
        self.records = written.Records(
            pathlib.Path(base.CONF.state_path) / written.FOLDER)
        self.folder = pathlib.Path(base.CONF.state_path) / written.FOLDER

    def patch(self, *args, **kwargs):
        """Replace an attribute of an object; returns the mock."""
        return self.useFixture(fixtures.MockPatchObject(*args, **kwargs)).mock

    def without_database(self):
        """Let Nova's objects be saved nowhere."""
        for kind in (objects.Instance, objects.Migration):
            self.patch(kind, 'save')
        for name in ('event_start', 'event_finish', 'event_finish_with_failure'):
            self.patch(objects.InstanceActionEvent, name)

    def volumes(self):
        """A server's volume, as it is attached on the source."""
        return objects.BlockDeviceMappingList(objects=[objects.BlockDeviceMapping(
            self.context, id=1, instance_uuid=base.UUID, source_type='volume',
            destination_type='volume', device_name='/dev/vdb', volume_id='v1',
            attachment_id='44444444-2222-3333-4444-555555555555', boot_index=-1,
            connection_info='{"driver_volume_type": "rbd", "data": {"name": "p/v1"}}')])

    def file(self):
        """The only record's file."""
        [path] = self.folder.iterdir()
        return path
