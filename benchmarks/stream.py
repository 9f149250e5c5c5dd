"""What recording adds to a stream of 100 chunks, otherwise as `overhead.py`, which says how it is measured.

python benchmarks/stream.py [--seconds N] [--rounds N] [--write]
"""

from overhead import compare

if __name__ == "__main__":
    compare("stream")
