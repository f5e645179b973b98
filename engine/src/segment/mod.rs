//! Segments, format 0.
