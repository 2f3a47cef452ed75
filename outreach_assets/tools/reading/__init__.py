"""From a file of any kind we take to a Parquet file whose columns are all text."""
