"""Arrays to train on: files, bags, digits, pages, backgrounds, deformations."""
