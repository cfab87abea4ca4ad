# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies in the copy, where Nova would boot a second copy at its return."""

from __future__ import annotations

from tests.stack.support import recoveries


class RecoveryTest(recoveries.CopyTests):

    nova_conf = {**recoveries.CopyTests.nova_conf,
                 'DEFAULT': {'resume_guests_state_on_host_boot': True}}
