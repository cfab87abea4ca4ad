# SPDX-License-Identifier: Apache-2.0
"""What to do about a migration: leave it, change a setting, end it, or what an operator wants."""
