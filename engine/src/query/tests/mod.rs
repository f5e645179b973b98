//! The read path against brute force: every question is also answered by decoding every span with
//! `prost` and looking at it alone, without cells, columns, indexes or early stops.

mod answers;
mod calls;
mod evaluation;
mod filters;
mod large;
mod made;
mod naive;
mod real;
mod store;
