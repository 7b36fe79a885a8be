"""The commands of ``lf6gateway``, one module each: ``add_parser`` describes it to the command line, and the ``run``
that it sets there does it and returns the exit status."""
