"""Athena (engine v3's dialect) on DuckDB, over the Glue catalog and the S3 of moto's server.

`install` puts it in the place of moto's Athena, which answers every string with an empty success. It does
what it covers as Athena does, and refuses the rest by name.
"""

from retail_analytics.embedded.athena.installation import install, uninstall

__all__ = ["install", "uninstall"]
