#!/usr/bin/env bash
# test.sh [CTEST_ARGUMENTS...]: installs what is missing, builds everything and runs every test but those labelled slow.
# Examples: scripts/test.sh; scripts/test.sh -L unit; scripts/test.sh -R Recipe.
# PODIUM_TEST_SLURM=1 installs Slurm as well (scripts/packages-slurm.txt): its daemons run in namespaces of the tests alone. Without
# it the tests labelled slurm that need it are skipped.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;; esac

make_test_venv() {
  [ -x "$PODIUM_CACHE/test-venv/bin/pip" ] || /usr/bin/python3 -m venv "$PODIUM_CACHE/test-venv"
  "$PODIUM_CACHE/test-venv/bin/pip" install --no-cache-dir --progress-bar off -r "$PODIUM_ROOT/tests/requirements.txt"
  cp "$PODIUM_ROOT/tests/requirements.txt" "$PODIUM_CACHE/test-venv/installed.txt"
}

install_packages "$PODIUM_ROOT/scripts/packages.txt"
if [ "${PODIUM_TEST_SLURM:-}" = 1 ]; then install_packages "$PODIUM_ROOT/scripts/packages-slurm.txt"; fi
install_libtorch
cmp -s "$PODIUM_ROOT/tests/requirements.txt" "$PODIUM_CACHE/test-venv/installed.txt" ||
  run_step "Installing the Python peers that tests compare with" \
    "check that pip can download packages; the folder may be removed: $PODIUM_CACHE/test-venv" make_test_venv
build_podium release all

say "Testing"
cd "$PODIUM_ROOT/build/release"
export PODIUM_TEST_PYTHON="$PODIUM_CACHE/test-venv/bin/python"
ctest --output-on-failure -LE slow -j "$(nproc)" "$@" || die "FAILED: tests. Run one again with: scripts/test.sh -R NAME"
