# SPDX-License-Identifier: Apache-2.0
"""Watch and steer one running migration.

Nothing here knows Nova; `compute` passes in Nova's part as plain callables.
"""
