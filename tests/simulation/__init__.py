"""A deterministic world for the real gateway: one seed gives its disk, its S3, its clock, its threads and its faults."""
