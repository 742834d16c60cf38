"""What the layers stand on: shapes, random numbers, chunks, kernels, remembered constructors; nothing is public."""
