"""Reads the event files that EventFile.TensorBoardReadsIt wrote, with TensorBoard's own reader (tried with tensorboard 2.20.0).

Usage: check_tensorboard.py DIRECTORY. Exits with 1 and says what differs when the scalars are not the expected ones.
"""
import sys

import numpy as np
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


def main(directory):
    accumulator = EventAccumulator(directory, purge_orphaned_data=True)
    accumulator.Reload()
    tags = sorted(accumulator.Tags()["scalars"])
    if tags != ["train/loss", "val/map"]:
        sys.exit(f"tags are {tags}")
    loss = {event.step: event.value for event in accumulator.Scalars("train/loss")}
    expected = {1: 1.0, 2: 1 / 2, 3: 1 / 3, 4: 2 / 4, 5: 2 / 5, 6: 2 / 6}
    if set(loss) != set(expected) or any(np.float32(expected[s]) != np.float32(v) for s, v in loss.items()):
        sys.exit(f"train/loss is {loss}, expected {expected}")
    steps = [event.step for event in accumulator.Scalars("val/map")]
    if steps != [1, 2, 3]:
        sys.exit(f"val/map has steps {steps}: those from 4 on were superseded")


main(sys.argv[1])
