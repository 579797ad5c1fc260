#!/usr/bin/env bash
# build.sh [PRESET] [TARGET...]: installs what is missing (Debian packages, libtorch) and builds build/PRESET/podium.
# PRESET: release (default), debug, asan, tsan. Environment: PODIUM_CACHE, PODIUM_CUDA=1 (CUDA libraries without a GPU here),
# CMAKE_PREFIX_PATH (another libtorch).
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
preset="${1:-release}"
[ $# -gt 0 ] && shift
case "$preset" in
  release | debug | asan | tsan) ;;
  -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;;
  *) die "unknown preset '$preset'; presets are release, debug, asan, tsan" ;;
esac
install_packages "$PODIUM_ROOT/scripts/packages.txt"
install_libtorch
build_podium "$preset" "${@:-podium}"
