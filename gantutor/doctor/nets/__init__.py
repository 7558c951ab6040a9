"""Anyone's nets: called as they are, and judged.

`borrowed` finds the nets behind a callable, tries them, and gives them back as they were. `generators` and
`discriminators` call them in the form that they want, `weights` fills them from a file, `net_tests` judges them, and
`watched` sees whether their weights change.
"""
