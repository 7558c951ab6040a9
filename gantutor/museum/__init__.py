"""The museum of GAN bugs: classic mistakes, each runnable, measured beside its sound version, and caught by a check.

::

    outcome = museum.exhibit("double-sigmoid").run(steps=300)
    print(outcome.verdict())
    show.comparison(outcome)

On the command line: ``gantutor museum`` lists the exhibits, and ``gantutor museum double-sigmoid`` runs one.

The exhibits are in six rooms, a file each, and are listed in the `catalogue`. `exhibits` defines what an exhibit is,
`settings` has the ordinary parts from which its run is put together, `measures` the symptoms, and `probes` what the
checks share.
"""

from typing import TYPE_CHECKING

from gantutor import lazy

if TYPE_CHECKING:
    from gantutor.museum.catalogue import CATALOGUE, ROOMS, Grade, exhibit, grade
    from gantutor.museum.exhibits import Exhibit, Outcome, stops

__all__ = ["CATALOGUE", "ROOMS", "Exhibit", "Grade", "Outcome", "exhibit", "grade", "stops"]
__getattr__ = lazy.importer(__name__)
