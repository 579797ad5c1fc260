#!/usr/bin/env bash
# make_peers.sh: installs the Python peers (torch, torchvision, timm; about 5 GB) that bench/*.py measures beside Podium into
# $PODIUM_CACHE/peers-venv. Only benchmarks need it.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
make_peers() {
  [ -x "$PODIUM_CACHE/peers-venv/bin/pip" ] || /usr/bin/python3 -m venv "$PODIUM_CACHE/peers-venv"
  "$PODIUM_CACHE/peers-venv/bin/pip" install --no-cache-dir --progress-bar off -r "$PODIUM_ROOT/bench/requirements.txt"
}
run_step "Installing the Python peers" "check that pip can download packages and that $PODIUM_CACHE has 8 GB free" make_peers
say "peers: $PODIUM_CACHE/peers-venv/bin/python"
