"""The doctor's eyes: samples and real images, as people have them, and what is wrong with them.

`files` reads them from files and `collected` from loaders and lists, `arrays` brings them to one form, `classes` their
labels, `inputs` makes one `Case` of everything, and `extractors` chooses what sees them. `saving` judges what became of
them on the way to a file, `augmentation` what leaked into them, `proportions` which kinds are missing where no classes
are known, and `image_tests` everything else.
"""
