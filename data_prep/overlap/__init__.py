"""``python -m data_prep overlap``: what training sets share with evaluation sets and with one another.

The store is read once (:mod:`index`): every example becomes a few hashes on disk. Equal hashes are then joined by
sorting (:mod:`match`), and reported (:mod:`report`) or removed from training (:mod:`drop`). Memory holds about 150
bytes an example, whatever the texts' lengths; disk, in the temporary folder, about 1 kB.
"""

from data_prep.overlap.command import main

__all__ = ["main"]
