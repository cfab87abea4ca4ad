# SPDX-License-Identifier: Apache-2.0
"""The contest of all engines, on the model or on real hosts, and small guests sent together."""
