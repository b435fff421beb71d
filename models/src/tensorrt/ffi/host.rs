//! A device of nothing but memory of the host, for the fake library.

use std::ffi::c_void;
use std::time::Duration;

use super::{About, Pack, Room};

unsafe extern "C" {
    fn weir_pack_on_host(
        pixels: *const u8,
        table: *const u32,
        out: *mut c_void,
        pack: *const Pack,
        pictures: u32,
    );
}

/// The device.
#[derive(Clone, Debug)]
pub struct Gpu;

impl Gpu {
    /// There is always one.
    ///
    /// # Errors
    /// None.
    pub fn open() -> Result<Self, String> {
        Ok(Self)
    }

    /// What it says of itself.
    pub fn about(&self) -> About {
        About { name: "Mock".into(), capability: (8, 7), cuda_major: 13, memory: 1 << 30 }
    }

    /// Whether pictures can be packed on the device.
    pub fn packs(&self) -> bool {
        true
    }

    /// A stream with its buffers.
    ///
    /// # Errors
    /// None.
    pub fn lane(&self, room: &Room) -> Result<Lane, String> {
        // In words of eight bytes, so that numbers of every kind are aligned.
        let bytes = |count: usize| vec![0u64; count.div_ceil(8)];
        Ok(Lane {
            pixels: vec![0; room.pixels],
            table: vec![0; room.pictures * 3],
            input: bytes(room.input),
            outputs: room.outputs.iter().map(|count| bytes(*count)).collect(),
        })
    }
}

/// A stream with its buffers.
pub struct Lane {
    pixels: Vec<u8>,
    table: Vec<u32>,
    input: Vec<u64>,
    outputs: Vec<Vec<u64>>,
}

impl Lane {
    /// Where pixels are put.
    pub fn pixels(&mut self) -> Result<&mut [u8], String> {
        Ok(&mut self.pixels)
    }

    /// Packs pictures into the input: for each, where its bytes begin, its width, its height.
    pub fn pack(&mut self, table: &[[u32; 3]], _bytes: usize, pack: &Pack) -> Result<(), String> {
        for (entry, values) in self.table.chunks_exact_mut(3).zip(table) {
            entry.copy_from_slice(values);
        }
        let pictures = u32::try_from(table.len()).map_err(|error| error.to_string())?;
        // SAFETY: the table's entries lie within the pixels and the canvas within the input: `Execution` has checked both.
        unsafe {
            weir_pack_on_host(
                self.pixels.as_ptr(),
                self.table.as_ptr(),
                self.input.as_mut_ptr().cast(),
                pack,
                pictures,
            );
        }
        Ok(())
    }

    /// Puts values into the input.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        // SAFETY: any bytes are numbers, and the slice is exactly the vector's memory.
        let input = unsafe {
            std::slice::from_raw_parts_mut(
                self.input.as_mut_ptr().cast::<u8>(),
                self.input.len() * 8,
            )
        };
        input.get_mut(..bytes.len()).ok_or("the input is too small")?.copy_from_slice(bytes);
        Ok(())
    }

    pub(super) fn input_address(&mut self) -> *mut c_void {
        self.input.as_mut_ptr().cast()
    }

    pub(super) fn output_address(&mut self, index: usize) -> Option<*mut c_void> {
        self.outputs.get_mut(index).map(|output| output.as_mut_ptr().cast())
    }

    pub(super) fn stream(&self) -> *mut c_void {
        std::ptr::null_mut()
    }

    /// Waits until all that was queued is done and the outputs, each that many bytes, can be read.
    pub fn finish(&mut self, _bytes: &[usize], _limit: Duration) -> Result<(), String> {
        Ok(())
    }

    /// The bytes of an output.
    pub fn output(&self, index: usize, bytes: usize) -> Option<&[u8]> {
        let output = self.outputs.get(index)?;
        // SAFETY: any memory of the vector is initialised, and the slice is exactly that.
        let all =
            unsafe { std::slice::from_raw_parts(output.as_ptr().cast::<u8>(), output.len() * 8) };
        all.get(..bytes)
    }

    /// What a run queues, kept to be queued again; here there is nothing to gain by it.
    pub fn capture(&mut self, _queue: impl FnOnce() -> Result<(), String>) -> Option<Graph> {
        None
    }
}

/// A run that can be queued at once.
pub struct Graph;

impl Graph {
    /// Queues it.
    ///
    /// # Errors
    /// None.
    pub fn launch(&self) -> Result<(), String> {
        Ok(())
    }
}
