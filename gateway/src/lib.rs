//! The edge binary.
