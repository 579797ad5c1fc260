#!/usr/bin/env bash
# check.sh [--install] [BASE]: the style of the sources. clang-format on all of them, shellcheck on all scripts, and clang-tidy on the
# lines that changed since BASE, a revision (default: where this branch left origin/main; on main the commit before).
# --install installs the tools (scripts/packages-check.txt), the build's packages and libtorch. A tool that is missing is skipped by name.
# PODIUM_TIDY_S=60: for so many seconds clang-tidy begins with another file (one with libtorch takes half a minute); the rest is named.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
is_installing=0
case "${1:-}" in
  -h | --help) sed -n '2,5s/^# //p' "$0"; exit 0 ;;
  --install) is_installing=1; shift ;;
esac
base="${1:-}"
tidy_s="${PODIUM_TIDY_S:-60}"
database=build/check  # the compile commands without gcc's precompiled headers, which clang cannot read
num_faults=0

# tool NAME: its path, the release of packages-check.txt first.
tool() { command -v "$1-14" || command -v "$1"; }
skip() { printf '    SKIPPED: %s: %s\n' "$1" "$2"; }
fault() {
  printf '    FAILED: %s\n' "$*" >&2
  num_faults=$((num_faults + 1))
}
sources() { git ls-files -- '*.h' '*.cpp'; }

check_format() {
  say "clang-format: all sources"
  local clang_format drifted
  clang_format="$(tool clang-format)" || { skip clang-format "not installed (check.sh --install)"; return; }
  drifted="$(sources | xargs -P "$(nproc)" -n 50 "$clang_format" --dry-run -Werror 2>&1 |
    sed -n 's/^\([^ :]*\):[0-9].*/\1/p' | sort -u || true)"
  [ -z "$drifted" ] && return
  printf '%s\n' "$drifted" >&2
  fault "$(wc -l <<<"$drifted") files are not formatted; run: $(basename "$clang_format") -i FILES"
}

check_scripts() {
  say "shellcheck: all scripts"
  local shellcheck
  shellcheck="$(tool shellcheck)" || { skip shellcheck "not installed (check.sh --install)"; return; }
  git ls-files -- '*.sh' .ci/run | xargs "$shellcheck" -x -P SCRIPTDIR --severity=warning || fault "shellcheck: see above"
}

# The revision that changes are counted from; empty when there is none.
base_revision() {
  if [ -n "$base" ]; then
    git rev-parse --verify --quiet "$base^{commit}" || die "'$base' is no revision here"
    return
  fi
  local found
  found="$(git merge-base HEAD origin/main 2>/dev/null || git merge-base HEAD main 2>/dev/null || true)"
  if [ -z "$found" ] || [ "$found" = "$(git rev-parse HEAD)" ]; then
    found="$(git rev-parse --verify --quiet 'HEAD~1^{commit}' || true)"
  fi
  printf '%s' "$found"
}

# clang-tidy's line filter: the changed lines of each file, as JSON.
changed_lines() {
  git diff -U0 -M "$1" -- '*.h' '*.cpp' | awk '
    /^\+\+\+ b\// { file = substr($0, 7) }
    /^@@/ {
      split(substr($3, 2), place, ",")
      count = place[2] == "" ? 1 : place[2]
      if (count > 0) lines[file] = lines[file] (lines[file] == "" ? "" : ",") "[" place[1] "," place[1] + count - 1 "]"
    }
    END {
      for (file in lines) text = text (text == "" ? "" : ",") "{\"name\":\"" file "\",\"lines\":[" lines[file] "]}"
      print "[" text "]"
    }'
}

make_database() {
  [ -e build/release/compile_commands.json ] ||
    { [ "$is_installing" = 1 ] && run_step "Configuring (preset release)" "see the log above" cmake --preset release; } || return 1
  cmake --build build/release --target podium_build_info >/dev/null 2>&1 || return 1
  mkdir -p "$database"
  sed -E 's# -Winvalid-pch -include [^ ]*/cmake_pch\.hxx##; s# -fpch-preprocess##' build/release/compile_commands.json \
    >"$database/compile_commands.json"
}

check_tidy() {
  say "clang-tidy: changed lines"
  local clang_tidy revision file said lines began=$SECONDS num_checked=0 left=()
  clang_tidy="$(tool clang-tidy)" || { skip clang-tidy "not installed (check.sh --install)"; return; }
  revision="$(base_revision)"
  [ -n "$revision" ] || { skip clang-tidy "no revision to compare with (a shallow clone?)"; return; }
  make_database || { skip clang-tidy "no build/release/compile_commands.json (cmake --preset release)"; return; }
  lines="$(changed_lines "$revision")"
  while read -r file; do
    grep -qF "\"file\": \"$PODIUM_ROOT/$file\"" "$database/compile_commands.json" || continue
    if [ $((SECONDS - began)) -ge "$tidy_s" ]; then left+=("$file"); continue; fi
    if ! said="$("$clang_tidy" -p "$database" --quiet --line-filter="$lines" --warnings-as-errors='*' "$file" 2>/dev/null)"; then
      # gcc is the compiler here; what clang alone cannot compile is no fault of style.
      if grep -qF '[clang-diagnostic-error' <<<"$said"; then skip "clang-tidy of $file" "clang cannot compile it"; continue; fi
      printf '%s\n' "$said"
      fault "clang-tidy: $file"
    fi
    num_checked=$((num_checked + 1))
  done < <(git diff --name-only --diff-filter=d "$revision" -- '*.cpp')
  printf '    %d files since %s\n' "$num_checked" "$(git rev-parse --short "$revision")"
  [ ${#left[@]} -eq 0 ] || skip "clang-tidy of ${#left[@]} files" "over $tidy_s s; PODIUM_TIDY_S=3600 checks all: ${left[*]}"
}

cd "$PODIUM_ROOT"
if [ "$is_installing" = 1 ]; then
  install_packages scripts/packages.txt
  install_packages scripts/packages-check.txt
  install_libtorch
fi
check_format
check_scripts
check_tidy
[ "$num_faults" = 0 ] || die "$num_faults checks failed"
say "All checks hold"
