"""Phase I: localizers trained from ages alone, and the regions of a whole data set."""
