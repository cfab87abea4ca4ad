# SPDX-License-Identifier: Apache-2.0
"""Decisions on a migration: leave it, change a setting, end it, or carry out an order."""
