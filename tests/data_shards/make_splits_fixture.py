"""Makes data/iterstrat_folds.json: folds of a small label matrix by the package iterative-stratification.

Run with Python 3.11.7, iterative-stratification 0.1.9, scikit-learn 1.9.1, numpy 2.4.6.
"""

import json
import pathlib

import iterstrat
import numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedKFold

FOLDS = 5


def main():
    rng = np.random.default_rng(11)
    priors = np.array([0.6, 0.35, 0.2, 0.12, 0.08, 0.05, 0.03, 0.02])
    # A hidden scene shifts the odds, so that labels occur together.
    scene = rng.integers(0, 3, 240)
    shift = rng.normal(0, 1.0, (3, len(priors)))
    logits = np.log(priors / (1 - priors)) + shift[scene]
    labels = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(int)
    runs = []
    for seed in range(10):
        splitter = MultilabelStratifiedKFold(n_splits=FOLDS, shuffle=True, random_state=seed)
        folds = [test for _, test in splitter.split(np.zeros(len(labels)), labels)]
        runs.append({
            "sizes": [len(test) for test in folds],
            "counts": [labels[test].sum(axis=0).tolist() for test in folds],
        })
    result = {
        "package": "iterative-stratification 0.1.9",
        "num_folds": FOLDS,
        "labels": ["".join(map(str, row)) for row in labels.tolist()],
        "runs": runs,
    }
    path = pathlib.Path(__file__).resolve().parent / "data" / "iterstrat_folds.json"
    path.write_text(json.dumps(result, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
