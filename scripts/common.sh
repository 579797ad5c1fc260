# shellcheck shell=bash
# Shared by scripts/*.sh: steps that say what failed, why and what to do; packages; libtorch.
# Sourced, not run. Needs bash.
set -euo pipefail

PODIUM_ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
PODIUM_CACHE="${PODIUM_CACHE:-$HOME/.cache/podium}"
TORCH_VERSION=2.11.0
TORCH_VENV="$PODIUM_CACHE/torch-$TORCH_VERSION"
export PODIUM_CACHE
mkdir -p "$PODIUM_CACHE" "$PODIUM_ROOT/build"
LOG_DIR="$PODIUM_ROOT/build/logs"
mkdir -p "$LOG_DIR"
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1

say() { printf '\n==> %s\n' "$*"; }
die() { printf '\n%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# run_step NAME HINT COMMAND...: runs the command with its output in a log; on failure prints the log's end and the hint.
run_step() {
  local name="$1" hint="$2" log began
  shift 2
  log="$LOG_DIR/$(printf '%s' "$name" | tr -cs 'a-zA-Z0-9' '-').log"
  began=$SECONDS
  say "$name"
  if "$@" >"$log" 2>&1; then
    printf '    done in %d s\n' $((SECONDS - began))
  else
    local code=$?
    printf '\n--- last lines of %s\n' "$log" >&2
    tail -n 25 "$log" >&2
    printf '\nFAILED: %s (exit code %d)\nWhat to do: %s\n' "$name" "$code" "$hint" >&2
    exit 1
  fi
}

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null 2>&1; then sudo "$@"
  else
    echo "neither root nor sudo: cannot run $*" >&2
    return 1
  fi
}

missing_packages() {
  local package
  while read -r package; do
    case "$package" in '' | '#'*) continue ;; esac
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || printf '%s ' "$package"
  done <"$1"
}

apt_install() {
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$@"
}

# install_packages LIST_FILE
install_packages() {
  command -v dpkg-query >/dev/null 2>&1 ||
    die "this script installs Debian packages; on another system install what $1 lists and run cmake by hand (README.md, Build)"
  local missing
  missing="$(missing_packages "$1")"
  if [ -z "$missing" ]; then return 0; fi
  # shellcheck disable=SC2086  # a list of words
  run_step "Installing $(echo "$missing" | wc -w) Debian packages" \
    "check the network and 'apt-get update', or run as root: apt-get install $missing" apt_install $missing
}

has_gpu() { [ "${PODIUM_CUDA:-}" = 1 ] || [ -e /dev/nvidia0 ] || [ -e /proc/driver/nvidia/version ]; }

make_torch_venv() {
  [ -x "$TORCH_VENV/bin/pip" ] || /usr/bin/python3 -m venv "$TORCH_VENV"
  if has_gpu; then
    # What torch depends on brings the libraries and most headers; crt/ and nv/, which those include, are in wheels of their own.
    "$TORCH_VENV/bin/pip" install --no-cache-dir --progress-bar off "torch==$TORCH_VERSION" \
      'nvidia-cuda-crt>=13.0,<13.1' 'nvidia-cuda-cccl>=13.0,<13.1'
    touch "$TORCH_VENV/.podium-cuda-headers"
  else
    # The C++ libraries alone: libtorch_cpu of this wheel links cudart and cupti, nothing else of CUDA.
    "$TORCH_VENV/bin/pip" install --no-cache-dir --progress-bar off --no-deps "torch==$TORCH_VERSION" \
      'nvidia-cuda-runtime>=13,<14' 'nvidia-cuda-cupti>=13,<14'
  fi
  touch "$TORCH_VENV/.podium-complete"
}

# libtorch from PyPI's torch wheel into one virtual environment; skipped when another libtorch is given.
install_libtorch() {
  if [ -n "${CMAKE_PREFIX_PATH:-}" ] &&
    [ -e "${CMAKE_PREFIX_PATH%%:*}/include/torch/csrc/distributed/c10d/Backend.hpp" ]; then
    say "libtorch: using ${CMAKE_PREFIX_PATH%%:*}"
    return 0
  fi
  if has_gpu; then
    [ -e "$TORCH_VENV/.podium-cuda-headers" ] && return 0
  else
    [ -e "$TORCH_VENV/.podium-complete" ] && return 0
  fi
  run_step "Installing libtorch $TORCH_VERSION ($(has_gpu && echo 'with CUDA, about 3 GB' || echo 'CPU, about 550 MB'))" \
    "check that pip can download packages and that $PODIUM_CACHE has 5 GB free; a broken folder may be removed: $TORCH_VENV" \
    make_torch_venv
}

# build_podium PRESET [TARGET...]: configures and builds with a progress line of ninja.
build_podium() {
  local preset="$1" began=$SECONDS
  shift
  cd "$PODIUM_ROOT"
  run_step "Configuring (preset $preset)" \
    "see the log above; a stale build folder may be removed: build/$preset" cmake --preset "$preset"
  say "Building (preset $preset)"
  if ! NINJA_STATUS='[%f/%t %es] ' cmake --build --preset "$preset" -- "$@"; then
    die "FAILED: building. The first error is above; run again with: cmake --build --preset $preset"
  fi
  printf '    built in %d s: build/%s/podium\n' $((SECONDS - began)) "$preset"
}
