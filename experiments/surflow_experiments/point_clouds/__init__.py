"""Point clouds: spatial MNIST, sorted, shuffled, and as cells of a grid."""
