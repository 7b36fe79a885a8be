"""The version of the package, the one place where it is written. Owns nothing else; must never import anything."""

__version__ = "0.1.0"
