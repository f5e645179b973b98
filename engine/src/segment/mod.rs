//! Segments, format 0: one immutable Parquet file that carries its own index as a blob.
