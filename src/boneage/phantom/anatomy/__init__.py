"""A growing hand: development, bones, growth plates."""
