# SPDX-License-Identifier: Apache-2.0
"""Our version of the API, in the header that Nova's microversions use."""

import ddt
import hypothesis
from hypothesis import strategies
import testtools

from nova_migpolicy.api import errors
from nova_migpolicy.api import versions


@ddt.ddt
class TestVersions(testtools.TestCase):

    @ddt.data(None, '', 'compute 2.90', 'migration-policy 1.0', 'Migration-Policy 1.0',
              'compute 2.90, migration-policy 1.0', 'migration-policy latest,compute latest',
              'placement 9.99, , ', 'migration-policy2 7.0')
    def test_accepted(self, header):
        versions.check(header)

    @ddt.data('2.0', '1.1', '9999.0')
    def test_not_there(self, wanted):
        error = self.assertRaises(errors.Refusal, versions.check, f'migration-policy {wanted}')
        self.assertEqual(406, error.code)
        self.assertIn(f'migration-policy {wanted}: there is only 1.0 to 1.0', error.message)
        self.assertEqual('migration-policy 1.0', error.headers['OpenStack-API-Version'])

    @ddt.data('', ' 1', ' 1.0.0', ' 01.0', ' 1.x', ' one', ' 1.0 1.0',
              ' \u0661.\u0660', ' 99999.0')
    def test_no_version(self, wanted):
        error = self.assertRaises(errors.Refusal, versions.check, f'migration-policy{wanted}')
        self.assertEqual(400, error.code)
        self.assertIn('not a version; write 1.0 or latest', error.message)

    @hypothesis.given(strategies.text())
    def test_nothing_else_happens(self, text):
        try:
            versions.check(f'compute 2.1, migration-policy {text}')
        except errors.Refusal as error:
            self.assertIn(error.code, (400, 406))
