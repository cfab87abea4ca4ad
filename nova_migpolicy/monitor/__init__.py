# SPDX-License-Identifier: Apache-2.0
"""DOING IT: the room that watches and steers one running migration.

Nothing here knows Nova; `compute` hands in what is Nova's as plain callables.
"""
