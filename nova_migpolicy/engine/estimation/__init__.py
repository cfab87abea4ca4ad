# SPDX-License-Identifier: Apache-2.0
"""Knowledge of a migration: its passes, how the guest dirties memory, and the forecast."""
