"""Time to quality: held-out likelihood against processor seconds, of surflow and its peers, each by its own recipe."""
