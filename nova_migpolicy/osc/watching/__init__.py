# SPDX-License-Identifier: Apache-2.0
"""Follows migrations until they are over: who is asked when, what is said, and what is drawn."""
