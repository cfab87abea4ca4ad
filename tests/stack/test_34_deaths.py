# SPDX-License-Identifier: Apache-2.0
"""nova-compute dies at steps around the copy, at the source and at the destination."""

from __future__ import annotations

from tests.stack.support import deaths


class AroundTheCopyTest(deaths.DeathsTest):
    """Nova does not boot what is down."""


class AfterTheCopyTest(deaths.BootingDeathsTest):
    """Nova would boot a second copy."""


deaths.add_tests(AroundTheCopyTest, deaths.always(deaths.AROUND_THE_COPY))
deaths.add_tests(AfterTheCopyTest, deaths.always(deaths.AFTER_THE_COPY))
