#!/usr/bin/env bash
# make_peers.sh: installs the Python peers (torch, torchvision, timm, webdataset, DALI, ffcv, mosaicml-streaming; about 7 GB) that bench/*.py
# measures beside Podium into $PODIUM_CACHE/peers-venv and peers-streaming. Only benchmarks need them. ffcv is compiled and needs Debian's
# libopencv-dev, libturbojpeg0-dev and pkg-config; without them it is left out by name.
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/common.sh"
pip_install() { "$PODIUM_CACHE/peers-venv/bin/pip" install --no-cache-dir --progress-bar off "$@"; }
make_peers() {
  [ -x "$PODIUM_CACHE/peers-venv/bin/pip" ] || /usr/bin/python3 -m venv "$PODIUM_CACHE/peers-venv"
  pip_install -r "$PODIUM_ROOT/bench/requirements.txt"
}
make_streaming() {
  rm -rf "$PODIUM_CACHE/peers-streaming"
  pip_install --no-deps --target "$PODIUM_CACHE/peers-streaming" -r "$PODIUM_ROOT/bench/requirements-streaming.txt"
}
make_ffcv() { pip_install --no-deps --no-build-isolation ffcv==1.0.2; }
run_step "Installing the Python peers" "check that pip can download packages and that $PODIUM_CACHE has 8 GB free" make_peers
run_step "Installing mosaicml-streaming" "check that pip can download packages" make_streaming
if pkg-config --exists opencv4 libturbojpeg; then
  run_step "Compiling ffcv" "check that python3-dev and a compiler are installed" make_ffcv
else
  say "ffcv is left out: it needs apt-get install --no-install-recommends libopencv-dev libturbojpeg0-dev pkg-config"
fi
say "peers: $PODIUM_CACHE/peers-venv/bin/python"
