# SPDX-License-Identifier: Apache-2.0
"""A migration as Nova hands it over to the driver."""

import functools
from unittest import mock

from nova_migpolicy.compute import driver
from tests.contract import base


class MigrationCase(base.ContractCase):
    """A driver whose domain only takes notes, and mocks for Nova's ends of a migration."""

    def setUp(self):
        super().setUp()
        self.domain = base.FakeDomain()
        self.domain.migrateSetMaxDowntime = lambda limit_ms, flags=0: 0
        self.connection = mock.Mock()
        self.connection.getLibVersion.return_value = 9_000_000
        self.connection.getVersion.return_value = 7_002_000
        self.tested = self.driver(self.domain, driver.LibvirtDriver)
        patch = mock.patch.object(
            self.tested._host, 'get_connection', return_value=self.connection)
        patch.start()
        self.addCleanup(patch.stop)
        self.post, self.recover = mock.Mock(), mock.Mock()
        # As Nova hands them over.
        self.ends = functools.partial(self.post), functools.partial(self.recover)
