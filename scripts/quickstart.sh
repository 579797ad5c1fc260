#!/usr/bin/env bash
# quickstart.sh [OUTPUT]: installs what is missing, builds, and runs the whole pipeline on a small rendered data set: pack, split,
# sweep (3 preprocessings x 2 folds x 2 workers), gather. Prints where submission.csv and report.html are.
# OUTPUT: folder of the results (default out/quickstart). Run again: what is finished is kept.
source "$(dirname "${BASH_SOURCE[0]}")/common.sh"
case "${1:-}" in -h | --help) sed -n '2,4s/^# //p' "$0"; exit 0 ;; esac

cd "$PODIUM_ROOT"
out="${1:-out/quickstart}"
podium=build/release/podium
scripts/build.sh release

# show NAME COMMAND...: prints the command, so that it can be run by hand, and runs it.
show() {
  say "$1"
  shift
  printf '    %s\n' "$*"
  "$@" || die "FAILED: the command above (exit code $?). Its last lines say why; run quickstart.sh again to go on from there"
}
# unless_done DIRECTORY ...: skips a step whose output is finished.
unless_done() {
  local directory="$1"
  shift
  if [ -e "$directory/DONE" ]; then say "$1: done before ($directory)"; else show "$@"; fi
}

began=$SECONDS
unless_done "$out/scenes" "Rendering a data set of aerial scenes" \
  $podium demo --output="$out/scenes"
unless_done "$out/train" "Packing the training set" \
  $podium pack --layout=multilabel_csv --input="$out/scenes/train.csv" --output="$out/train"
unless_done "$out/test" "Packing the test set" \
  $podium pack --layout=multilabel_csv --input="$out/scenes/test.csv" --output="$out/test"
show "Splitting into 2 folds" \
  $podium split --data="$out/train" --method=kfold --num_folds=2 --seed=1 --output="$out/folds.json"
show "Training the line to beat: a linear model on colour histograms" \
  $podium sweep --plan=recipes/color_histogram_plan.yaml --data="$out/train" --folds="$out/folds.json" --output="$out/baseline"
show "Sweeping 3 preprocessings x 2 folds, each on 2 workers" \
  $podium sweep --plan=recipes/s5_quick_plan.yaml --data="$out/train" --test_data="$out/test" --folds="$out/folds.json" \
  --output="$out/sweep" --slots=1
show "Gathering: ensemble, thresholds, submission, report" \
  $podium gather --oof="$out/sweep" --test="$out/sweep" --baseline="$out/baseline" \
  --sample_submission="$out/scenes/sample_submission.csv" --output="$out/submission" --overwrite

say "Done in $((SECONDS - began)) s (without the build)"
printf '    submission: %s\n    report:     %s\n' "$PODIUM_ROOT/$out/submission/submission.csv" "$PODIUM_ROOT/$out/submission/report.html"
