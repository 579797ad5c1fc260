#!/usr/bin/env bash
# make.sh PODIUM OUTPUT: writes what a release leaves for later builds to read: a packed data set, a finished run with its predictions,
# a run that was stopped in the middle of an epoch, prediction sets of images and of masks, and a submission. About 250 KB.
# Example, as the last commit of a release: tests/compat/make.sh build/release/podium tests/compat/0.2
set -euo pipefail
case "${1:-}" in -h | --help | '') sed -n '2,4s/^# //p' "$0"; exit 0 ;; esac
podium="$(realpath "$1")"
output="$(realpath -m "$2")"
[ ! -e "$output" ] || { echo "make.sh: $output is there; a release's folder never changes" >&2; exit 1; }
work="$(mktemp -d)/podium-compat"
mkdir -p "$work" "$output"
cd "$work"

# All that a checkpoint holds: two moments, averaged weights, a schedule; and random draws that depend on the position.
cat >recipe.yaml <<'YAML'
seed: 5
logical_workers: 2
data:
  train_transforms:
    - resize: {size: [32]}
    - hflip
    - cutout: {factor: 0.25}
    - normalize
  eval_transforms:
    - resize: {size: [32]}
    - normalize
model: {name: color_histogram}
optimizer: {name: adamw, lr: 1.0e-2, weight_decay: 0.01}
schedule: {name: cosine, warmup_epochs: 1, min_lr: 1.0e-4}
train: {epochs: 12, micro_batch_size: 2, ema_decay: 0.9}
eval: {every_epochs: 6}
checkpoint: {keep: 1}
log: {every_steps: 1}
YAML
cat >masks.yaml <<'YAML'
seed: 5
logical_workers: 1
data:
  train_transforms: [{resize: {size: [32]}}, normalize]
  eval_transforms: [{resize: {size: [32]}}, normalize]
model: {name: fpn_resnet18}
loss: {name: iou_cross_entropy}
optimizer: {name: adam, lr: 1.0e-3}
train: {epochs: 1, micro_batch_size: 4}
YAML

"$podium" demo --output=scenes --num_train=24 --num_test=8 --image_size=32
"$podium" demo --output=few_scenes --num_train=8 --num_test=1 --image_size=32
"$podium" pack --layout=multilabel_csv --input=scenes/train.csv --output=train
"$podium" pack --layout=multilabel_csv --input=scenes/test.csv --output=test
"$podium" pack --layout=image_mask --input=few_scenes/train --classes=background,building --output=masks
"$podium" split --data=train --method=kfold --folds=2 --seed=1 --output=folds.json
"$podium" split --data=masks --method=kfold --folds=2 --seed=1 --output=mask_folds.json
for fold in 0 1; do
  "$podium" train --recipe=recipe.yaml --data=train --folds=folds.json --fold=$fold --run_dir=runs/fold$fold \
    --trial_name=compat/fold$fold --device=cpu
  "$podium" predict --run=runs/fold$fold --data=test --device=cpu
  "$podium" train --recipe=masks.yaml --data=masks --folds=mask_folds.json --fold=$fold --run_dir=mask_runs/fold$fold \
    --trial_name=masks/fold$fold --device=cpu
done
"$podium" gather --oof=runs/fold0,runs/fold1 --test=runs/fold0,runs/fold1 --sample_submission=scenes/sample_submission.csv \
  --output=submission

# Fold 1 once more, told to stop in the middle of an epoch (of three updates). It stands still while its lines are counted.
"$podium" train --recipe=recipe.yaml --data=train --folds=folds.json --fold=1 --run_dir=stopped --trial_name=compat/fold1 \
  --device=cpu &
pid=$!
while kill -STOP $pid; do
  lines="$(wc -l 2>/dev/null <stopped/metrics.jsonl || echo 0)"
  if [ "$lines" -ge 15 ] && [ $((lines % 3)) -ne 0 ]; then break; fi
  kill -CONT $pid
  sleep 0.002
done
kill -TERM $pid
kill -CONT $pid
code=0
wait $pid || code=$?
[ "$code" = 75 ] || { echo "make.sh: the run to be stopped ended with code $code, expected 75; run again" >&2; exit 1; }

mkdir -p "$output"/{data,runs,predictions,submission}
mv recipe.yaml folds.json "$output"
mv train test "$output/data"
mv runs/fold0 "$output/runs/finished"
mv stopped "$output/runs/stopped"
mv runs/fold1/predictions "$output/predictions/fold1"
mv mask_runs/fold0/predictions/oof "$output/predictions/masks_fold0"
mv mask_runs/fold1/predictions/oof "$output/predictions/masks_fold1"
mv scenes/sample_submission.csv submission/submission.csv submission/scores.json "$output/submission"
rm -f "$output"/runs/*/events.* "$output"/runs/*/lock
rm -rf "$output"/runs/*/logs "$(dirname "$work")"
du -sb "$output"
