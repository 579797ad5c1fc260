"""Writes data/reference.safetensors with the reference implementation and prints the numbers that the tests quote.

Made with Python 3.11, numpy 2.4.6, safetensors 0.8.0, randomgen 2.5.0, xxhash 4.1.0 (of XXHASH 0.8.4).
"""

import pathlib

import numpy as np
import randomgen
import safetensors
import safetensors.numpy
import xxhash


def write_safetensors(folder):
    tensors = {
        "conv.weight": np.arange(6, dtype=np.float32).reshape(1, 2, 3) / 4,
        "count": np.array(-5, dtype=np.int64),
        "mask": np.array([True, False, True]),
        "bytes": np.array([[1, 2], [254, 255]], dtype=np.uint8),
        "half": np.array([1.5, -2.0], dtype=np.float16),
        "empty": np.zeros((0, 3), dtype=np.float64),
    }
    safetensors.numpy.save_file(
        tensors, folder / "reference.safetensors", metadata={"format": "np", "note": "a \"quoted\" note"})


def print_numbers():
    print("numpy", np.__version__, "safetensors", safetensors.__version__, "randomgen",
          randomgen.__version__, "xxhash", xxhash.VERSION, "of XXHASH", xxhash.XXHASH_VERSION)
    for counter, key in [([0] * 4, [0] * 2), ([0xFFFFFFFF] * 4, [0xFFFFFFFF] * 2),
                         ([0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344], [0xA4093822, 0x299F31D0])]:
        # randomgen counts before its first block.
        start = (sum(word << (32 * i) for i, word in enumerate(counter)) - 1) % (1 << 128)
        generator = randomgen.Philox(counter=start, key=key[0] | key[1] << 32, number=4, width=32)
        print("philox4x32", [hex(int(word)) for word in generator.random_raw(4)])
    for seed, purpose, a, b in [(7, 2, 3, 0x0123456789ABCDEF)]:
        key = b"".join(word.to_bytes(8, "little") for word in (seed, purpose, a, b))
        digest = xxhash.xxh3_128_intdigest(key)
        low, high = digest & (1 << 64) - 1, digest >> 64
        start = ((high << 64) - 1) % (1 << 128)
        generator = randomgen.Philox(counter=start, key=low, number=4, width=32)
        words = [int(word) for word in generator.random_raw(6)]
        print("stream", [hex(words[i] | words[i + 1] << 32) for i in (0, 2, 4)], "seed",
              hex(xxhash.xxh3_64_intdigest(key)))
    for text in (b"", b"podium", bytes(range(256)) * 8):
        print("xxh3", len(text), xxhash.xxh3_64_hexdigest(text), xxhash.xxh3_64_hexdigest(text, seed=42),
              xxhash.xxh3_128_hexdigest(text))


if __name__ == "__main__":
    folder = pathlib.Path(__file__).parent / "data"
    write_safetensors(folder)
    print_numbers()
