//! The TensorRT engine: models run on an NVIDIA GPU by plans that are built on the device and kept.
//!
//! Only with the feature `tensorrt` (or, for tests without a GPU, `tensorrt-mock`). The library is opened at run time:
//! `$WEIR_TENSORRT` (file or folder), else what the loader finds as `libnvinfer.so.<major>`; plans are built by `trtexec`:
//! `$WEIR_TRTEXEC`, else on the path, else where the packages of NVIDIA put it.

mod builder;
mod engine;
mod ffi;
mod key;
mod plans;
mod session;
mod unkept;
mod workplace;

pub use builder::BuildProgress;
pub use engine::{Settings, TensorRtEngine};
pub use key::{Key, Shapes};
pub use plans::{Kept, Plans, Pruned};

#[cfg(all(test, feature = "tensorrt-mock"))]
mod tests;
