#!/usr/bin/env bash
# test.sh [CTEST_ARGUMENTS...]: installs what is missing, builds everything and runs every test but those labelled slow.
# Examples: scripts/test.sh; scripts/test.sh -L unit; scripts/test.sh -R Recipe.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in -h | --help) sed -n '2,3s/^# //p' "$0"; exit 0 ;; esac

make_test_venv() {
  [ -x "$PODIUM_CACHE/test-venv/bin/pip" ] || /usr/bin/python3 -m venv "$PODIUM_CACHE/test-venv"
  "$PODIUM_CACHE/test-venv/bin/pip" install --no-cache-dir --progress-bar off -r "$PODIUM_ROOT/tests/requirements.txt"
  cp "$PODIUM_ROOT/tests/requirements.txt" "$PODIUM_CACHE/test-venv/installed.txt"
}

install_packages "$PODIUM_ROOT/scripts/packages.txt"
install_libtorch
cmp -s "$PODIUM_ROOT/tests/requirements.txt" "$PODIUM_CACHE/test-venv/installed.txt" ||
  run_step "Installing the Python peers that tests compare with" \
    "check that pip can download packages; the folder may be removed: $PODIUM_CACHE/test-venv" make_test_venv
build_podium release all

say "Testing"
cd "$PODIUM_ROOT/build/release"
export PODIUM_TEST_PYTHON="$PODIUM_CACHE/test-venv/bin/python"
ctest --output-on-failure -LE slow -j "$(nproc)" "$@" || die "FAILED: tests. Run one again with: scripts/test.sh -R NAME"
