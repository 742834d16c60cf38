"""The parts of training: where batches come from, the loop on Lightning, the files of an unfinished run."""
