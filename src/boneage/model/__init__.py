"""A trained model on disk: what it says of itself, its networks, its curves by sex and age."""
