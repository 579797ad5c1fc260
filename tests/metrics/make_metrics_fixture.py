"""Writes data/metrics.json: inputs with many ties and the numbers that scikit-learn gives for them.

    python3 -m venv venv && venv/bin/pip install numpy==2.4.6 scikit-learn==1.9.1
    venv/bin/python tests/metrics/make_metrics_fixture.py

IoU comes from sklearn.metrics.jaccard_score, Dice from f1_score of one class, both per set of pixels.
"""
import json
import pathlib
import warnings

import numpy as np
import sklearn
from sklearn import metrics as m

rng = np.random.default_rng(20)
warnings.simplefilter("ignore")


def multi_label():
    n, k = 160, 4
    targets = (rng.random((n, k)) < [0.5, 0.2, 0.05, 0.3]).astype(int)
    noise = rng.random((n, k))
    scores = np.clip(0.35 * targets + 0.65 * noise, 0, 1)
    scores = (np.round(scores * 16) / 16).astype(np.float32)  # sixteenths: exact in binary, many ties
    targets[rng.random((n, k)) < 0.1] = -1
    targets[:, 3][targets[:, 3] == 1] = 0  # a class without a positive
    thresholds = [0.5, 0.4375, 0.6, 0.5]
    ap, auc, f1 = [], [], []
    for c in range(k):
        known = targets[:, c] >= 0
        y, s = targets[known, c], scores[known, c]
        has = y.sum() > 0
        ap.append(m.average_precision_score(y, s) if has else None)
        auc.append(m.roc_auc_score(y, s) if has else None)
        f1.append(m.f1_score(y, s >= thresholds[c], zero_division=0))
    return {
        "num_classes": k, "scores": scores.ravel().tolist(), "targets": targets.ravel().tolist(),
        "average_precision": ap, "mean_average_precision": float(np.mean([a for a in ap if a is not None])),
        "roc_auc": auc, "thresholds": thresholds, "f1": f1, "macro_f1_at": float(np.mean(f1)),
    }


def single_label():
    n, k = 120, 5
    targets = rng.integers(0, k - 1, n)  # class 4 never occurs
    scores = rng.random((n, k))
    scores[np.arange(n), targets] += 0.4
    scores = np.round(scores / scores.sum(1, keepdims=True) * 64) / 64
    predictions = scores.argmax(1)
    return {
        "num_classes": k, "scores": scores.ravel().tolist(), "targets": targets.tolist(),
        "accuracy": m.accuracy_score(targets, predictions),
        "macro_f1": m.f1_score(targets, predictions, average="macro", labels=range(k), zero_division=0),
        "confusion": m.confusion_matrix(targets, predictions, labels=range(k)).ravel().tolist(),
    }


def segmentation():
    images, k, pixels = 6, 4, 60
    targets = rng.integers(0, 3, (images, pixels))  # class 3 never occurs in a mask ...
    predictions = np.where(rng.random((images, pixels)) < 0.6, targets, rng.integers(0, 3, (images, pixels)))
    predictions[0, 0] = 3  # ... and is predicted once
    targets[1] = 0
    predictions[1] = 0
    targets[2, :7] = 255

    def iou(t, p):
        keep = t != 255
        values = m.jaccard_score(t[keep], p[keep], labels=range(k), average=None, zero_division=0)
        for c in range(k):
            if not (t[keep] == c).any() and not (p[keep] == c).any():
                values[c] = np.nan
        return values

    def dice(t, p):
        keep = t != 255
        return m.f1_score(t[keep] == 1, p[keep] == 1, zero_division=1.0)

    per_image = [np.nanmean(iou(targets[i], predictions[i])) for i in range(images)]
    batches = [np.nanmean(iou(targets[i:i + 4].ravel(), predictions[i:i + 4].ravel())) for i in (0, 4)]
    whole = iou(targets.ravel(), predictions.ravel())
    return {
        "num_classes": k, "num_images": images, "targets": targets.ravel().tolist(),
        "predictions": predictions.ravel().tolist(), "iou": whole.tolist(),
        "mean_iou_global": float(np.nanmean(whole)), "mean_iou_per_image": float(np.mean(per_image)),
        "mean_iou_per_batch_of_4": float(np.mean(batches)),
        "dice_global": dice(targets.ravel(), predictions.ravel()),
        "dice_per_image": float(np.mean([dice(targets[i], predictions[i]) for i in range(images)])),
    }


fixture = {
    "made_with": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
    "multi_label": multi_label(), "single_label": single_label(), "segmentation": segmentation(),
}
path = pathlib.Path(__file__).parent / "data" / "metrics.json"
path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
