# SPDX-License-Identifier: Apache-2.0
"""Follows migrations until they are over: asks in time, and prints or draws the answers."""
