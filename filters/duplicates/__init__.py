"""Finding duplicates: of texts and of images, exact and near."""
