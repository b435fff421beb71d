//! All that is unsafe about TensorRT and CUDA, behind safe types: [`Library`] and [`Plan`] over the shim, [`Gpu`] for the
//! device's memory and streams, [`Execution`] for what one thread runs.
#![expect(unsafe_code, reason = "the library is C++, and memory of the device has no Rust owner")]

#[cfg(feature = "tensorrt")]
mod cuda;
mod execution;
#[cfg(feature = "tensorrt-mock")]
mod host;
mod shim;

#[cfg(feature = "tensorrt")]
pub use cuda::{Gpu, Graph, Lane};
pub use execution::{Execution, Failure, Picture};
#[cfg(feature = "tensorrt-mock")]
pub use host::{Gpu, Graph, Lane};
pub use shim::{Kind, Library, MAJOR, Plan, Role, TensorInfo};

/// What a device says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Its name, for example `Orin`.
    pub name: String,
    /// Compute capability, major and minor.
    pub capability: (i32, i32),
    /// Major version of CUDA that the driver speaks.
    pub cuda_major: i32,
    /// Bytes of memory.
    pub memory: u64,
}

/// How pixels become values: as the kernel reads it (`kernel/pack.cu`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pack {
    /// Width of the canvas in pixels.
    pub width: u32,
    /// Height of the canvas in pixels.
    pub height: u32,
    /// Bytes of a pixel.
    pub pixel_bytes: u32,
    /// 1 where the channels of a pixel lie side by side.
    pub packed: u32,
    /// 1 for 16-bit floats.
    pub half: u32,
    /// Which channel of the pixel each channel of the tensor is.
    pub source: [u32; 3],
    /// Factor for each channel of the tensor.
    pub gain: [f32; 3],
    /// Added to each channel of the tensor.
    pub offset: [f32; 3],
}

/// How many bytes of each buffer one lane needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Pixels of the largest batch.
    pub pixels: usize,
    /// Pictures of the largest batch.
    pub pictures: usize,
    /// The input tensor.
    pub input: usize,
    /// Each output tensor.
    pub outputs: Vec<usize>,
}
