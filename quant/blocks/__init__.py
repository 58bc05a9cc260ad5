# SPDX-License-Identifier: Apache-2.0
"""Building blocks of networks, one file per family: trainable form and integers."""
