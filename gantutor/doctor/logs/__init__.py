"""Training logs as people have them, and what they tell.

`tables` reads files, `roles` knows what the names of columns mean, `training_log` makes a `Log` of curves from both,
`curves` judges these: `game` brings them into one form, `balance` tells who wins, and `swings` finds periods and sudden
changes.
"""
