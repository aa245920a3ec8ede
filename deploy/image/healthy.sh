#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The health check of the image: the installation is whole (doctor finds nothing broken) and the data folder takes files.
set -eu
framemill doctor >/dev/null
probe=$(mktemp /data/.healthy.XXXXXX)
rm -f "$probe"
