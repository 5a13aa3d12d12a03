"""What a growing hand is made of: bones, growth plates, soft tissue."""
