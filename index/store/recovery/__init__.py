"""Check, repair and distrust: damaged catalogs, and catalogs from elsewhere."""
