"""What networks learn from: cached images, labels, views, augmentation."""
