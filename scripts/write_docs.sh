#!/usr/bin/env bash
# write_docs.sh [PODIUM]: writes the keys in docs/recipes.md anew from the tables of the program (build/release/podium).
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
case "${1:-}" in -h | --help) sed -n '2s/^# //p' "$0"; exit 0 ;; esac
podium="${1:-$root/build/release/podium}"
page="$root/docs/recipes.md"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

"$podium" train --help_recipe --markdown >"$work/keys"
awk -v keys="$work/keys" '
  /^<!-- keys: end -->$/ { is_inside = 0 }
  !is_inside
  /^<!-- keys: begin -->$/ { while ((getline line < keys) > 0) print line; is_inside = 1 }
' "$page" >"$work/page"
cp "$work/page" "$page"
