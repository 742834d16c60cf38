"""Networks: conditioners of layers and networks for contexts."""
