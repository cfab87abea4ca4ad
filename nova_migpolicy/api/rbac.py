# SPDX-License-Identifier: Apache-2.0
"""Who may do what: our rules, held against the roles in a request's context."""

from __future__ import annotations

from typing import Any


def list_rules() -> list[Any]:
    """For oslo.policy's tools."""
    return []
