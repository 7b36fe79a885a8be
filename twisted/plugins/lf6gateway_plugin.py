"""Tells twistd that there is an ``lf6gateway`` command. Holds names only: a plugin that fails to import is shown by
twistd as an unknown command, without the reason."""

from twisted.application.service import ServiceMaker

lf6gateway = ServiceMaker(
    "lf6gateway",
    "lf6gateway.edges.tap",
    "Take usage reports, error reports and specimens over HTTP and deliver them to S3.",
    "lf6gateway",
)
