//! The device through CUDA's driver: memory, one stream for each session, the kernel that packs pictures.

use std::ffi::c_void;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cudarc::driver::sys::{self, CUdeviceptr, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtr as _,
    DeviceRepr, DriverError, LaunchConfig, PinnedHostSlice, PushKernelArg as _, result,
};
use cudarc::nvrtc;

use super::{About, Pack, Room};

/// The kernel's text.
const KERNEL: &str = include_str!("../kernel/pack.cu");

/// Threads of a block.
const THREADS: u32 = 256;

/// How long a waiting thread sleeps between two looks at the device, once the first quick looks found it busy.
const NAP: Duration = Duration::from_micros(50);

/// Looks without a nap: many runs take less than a nap.
const QUICK_LOOKS: u32 = 64;

// SAFETY: the structure is plain data, laid out as the kernel's text says.
unsafe impl DeviceRepr for Pack {}

/// The first GPU of the machine.
#[derive(Clone)]
pub struct Gpu {
    context: Arc<CudaContext>,
    pack: Option<CudaFunction>,
    about: About,
}

impl Gpu {
    /// Opens the first GPU.
    ///
    /// # Errors
    /// Why there is none to be used.
    pub fn open() -> Result<Self, String> {
        // SAFETY: the call only looks whether the loader finds the library.
        if !unsafe { sys::is_culib_present() } {
            return Err("the NVIDIA driver is not here: no libcuda.so.1 is found".into());
        }
        let context = CudaContext::new(0).map_err(said)?;
        // SAFETY: every buffer here is used on the one stream of its lane, which orders all work on it.
        unsafe { context.disable_event_tracking() };
        let mut version = 0;
        // SAFETY: the call writes one number.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(said)?;
        let about = About {
            name: context.name().map_err(said)?,
            capability: context.compute_capability().map_err(said)?,
            cuda_major: version / 1000,
            memory: context.total_mem().map_err(said)? as u64,
        };
        let pack = kernel(&context);
        Ok(Self { context, pack, about })
    }

    /// What it says of itself.
    pub fn about(&self) -> About {
        self.about.clone()
    }

    /// Whether pictures can be packed on the device; where the compiler's library is absent the CPU does it.
    pub fn packs(&self) -> bool {
        self.pack.is_some()
    }

    /// A stream with its buffers.
    ///
    /// # Errors
    /// What the driver says, for example that memory is short.
    pub fn lane(&self, room: &Room) -> Result<Lane, String> {
        self.build(room).map_err(said)
    }

    fn build(&self, room: &Room) -> Result<Lane, DriverError> {
        let stream = self.context.new_stream()?;
        let uploads = sys::CU_MEMHOSTALLOC_WRITECOMBINED;
        let outputs = room.outputs.iter().map(|bytes| {
            Ok(Output { device: stream.alloc_zeros(*bytes)?, host: self.pinned(*bytes, 0)? })
        });
        let lane = Lane {
            pixels: self.pinned(room.pixels.max(1), uploads)?,
            table: self.pinned(room.pictures.max(1) * 3, uploads)?,
            values: self.pinned(room.input, uploads)?,
            device_pixels: stream.alloc_zeros(room.pixels.max(1))?,
            device_table: stream.alloc_zeros(room.pictures.max(1) * 3)?,
            input: stream.alloc_zeros(room.input)?,
            outputs: outputs.collect::<Result<_, DriverError>>()?,
            done: self.context.new_event(None)?,
            pack: self.pack.clone(),
            stream,
        };
        lane.stream.synchronize()?;
        Ok(lane)
    }

    /// Memory of the host that the device can read and write by itself.
    fn pinned<T: DeviceRepr + cudarc::driver::ValidAsZeroBits>(
        &self,
        length: usize,
        flags: u32,
    ) -> Result<PinnedHostSlice<T>, DriverError> {
        // SAFETY: the memory is filled before anything reads it.
        let mut slice = unsafe { self.context.alloc_pinned_with_flags::<T>(length, flags)? };
        let at = slice.as_mut_ptr()?;
        // SAFETY: the memory is `length` long, and all zeros is a value of these types.
        unsafe { at.write_bytes(0, length) };
        Ok(slice)
    }
}

/// Compiles the kernel; `None` where there is nothing to compile it with.
fn kernel(context: &Arc<CudaContext>) -> Option<CudaFunction> {
    // SAFETY: the call only looks whether the loader finds the library.
    if !unsafe { nvrtc::sys::is_culib_present() } {
        return None;
    }
    let compiled = nvrtc::compile_ptx(KERNEL).ok()?;
    context.load_module(compiled).ok()?.load_function("weir_pack").ok()
}

fn said(error: DriverError) -> String {
    format!("CUDA says {error}")
}

struct Output {
    device: CudaSlice<u8>,
    host: PinnedHostSlice<u8>,
}

/// A stream with its buffers.
pub struct Lane {
    pixels: PinnedHostSlice<u8>,
    table: PinnedHostSlice<u32>,
    values: PinnedHostSlice<u8>,
    device_pixels: CudaSlice<u8>,
    device_table: CudaSlice<u32>,
    input: CudaSlice<u8>,
    outputs: Vec<Output>,
    done: CudaEvent,
    pack: Option<CudaFunction>,
    stream: Arc<CudaStream>,
}

impl Lane {
    /// Where pixels are put.
    ///
    /// # Errors
    /// What the driver says.
    pub fn pixels(&mut self) -> Result<&mut [u8], String> {
        self.pixels.as_mut_slice().map_err(said)
    }

    /// Packs pictures into the input: for each, where its bytes begin, its width, its height.
    ///
    /// # Errors
    /// What the driver says.
    pub fn pack(&mut self, table: &[[u32; 3]], bytes: usize, pack: &Pack) -> Result<(), String> {
        let function = self.pack.clone().ok_or("there is no kernel")?;
        let entries = self.table.as_mut_slice().map_err(said)?;
        for (entry, values) in entries.chunks_exact_mut(3).zip(table) {
            entry.copy_from_slice(values);
        }
        let pixels = address(&self.device_pixels, &self.stream);
        let entries = address(&self.device_table, &self.stream);
        upload(&self.pixels, bytes, pixels, &self.stream)?;
        upload(&self.table, table.len() * 3, entries, &self.stream)?;
        let pictures = u32::try_from(table.len()).map_err(|error| error.to_string())?;
        let config = LaunchConfig {
            grid_dim: ((pack.width * pack.height).div_ceil(THREADS), pictures, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        let mut launch = self.stream.launch_builder(&function);
        launch.arg(&self.device_pixels).arg(&self.device_table).arg(&mut self.input).arg(pack);
        // SAFETY: the arguments are those of the kernel's text. The table's entries lie within the pixels and the canvas
        // within the input: `Execution` has checked both.
        unsafe { launch.launch(config) }.map(drop).map_err(said)
    }

    /// Puts values into the input.
    ///
    /// # Errors
    /// What the driver says.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let values = self.values.as_mut_slice().map_err(said)?;
        values.get_mut(..bytes.len()).ok_or("the input is too small")?.copy_from_slice(bytes);
        let input = address(&self.input, &self.stream);
        upload(&self.values, bytes.len(), input, &self.stream)
    }

    pub(super) fn input_address(&mut self) -> *mut c_void {
        address(&self.input, &self.stream) as *mut c_void
    }

    pub(super) fn output_address(&mut self, index: usize) -> Option<*mut c_void> {
        self.outputs.get(index).map(|output| address(&output.device, &self.stream) as *mut c_void)
    }

    pub(super) fn stream(&self) -> *mut c_void {
        self.stream.cu_stream().cast()
    }

    /// Waits until all that was queued is done and the outputs, each that many bytes, can be read.
    ///
    /// # Errors
    /// What the driver says, or that `limit` has passed.
    pub fn finish(&mut self, bytes: &[usize], limit: Duration) -> Result<(), String> {
        for (output, bytes) in self.outputs.iter_mut().zip(bytes) {
            let from = address(&output.device, &self.stream);
            let to = output.host.as_mut_slice().map_err(said)?;
            let to = to.get_mut(..*bytes).ok_or("an output is larger than its room")?;
            // SAFETY: both buffers live as long as the lane, which waits for the copy below; where that fails the lane is
            // given up with its memory.
            unsafe { result::memcpy_dtoh_async(to, from, self.stream.cu_stream()) }
                .map_err(said)?;
        }
        self.done.record(&self.stream).map_err(said)?;
        let (start, mut looks) = (Instant::now(), 0u32);
        while !self.done.try_is_complete().map_err(said)? {
            if start.elapsed() > limit {
                return Err(format!("a run did not end within {} s", limit.as_secs()));
            }
            looks = looks.saturating_add(1);
            if looks < QUICK_LOOKS { std::thread::yield_now() } else { std::thread::sleep(NAP) }
        }
        Ok(())
    }

    /// The bytes of an output.
    pub fn output(&self, index: usize, bytes: usize) -> Option<&[u8]> {
        self.outputs.get(index)?.host.as_slice().ok()?.get(..bytes)
    }

    /// What a run queues, kept to be queued again at once; `None` where the driver does not allow it.
    pub fn capture(&mut self, queue: impl FnOnce() -> Result<(), String>) -> Option<Graph> {
        let mode = CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        self.stream.begin_capture(mode).ok()?;
        let queued = queue();
        let graph = self.stream.end_capture(CUgraphInstantiate_flags(0));
        match (queued, graph) {
            (Ok(()), Ok(graph)) => graph.map(Graph),
            _ => None,
        }
    }
}

/// Where a buffer lies on the device.
fn address<T>(slice: &CudaSlice<T>, stream: &CudaStream) -> CUdeviceptr {
    slice.device_ptr(stream).0
}

fn upload<T: cudarc::driver::ValidAsZeroBits>(
    from: &PinnedHostSlice<T>,
    count: usize,
    to: CUdeviceptr,
    stream: &CudaStream,
) -> Result<(), String> {
    let from = from.as_slice().map_err(said)?;
    let from = from.get(..count).ok_or("more is uploaded than there is room for")?;
    // SAFETY: both buffers are of one length and belong to the lane, which waits for its stream before either is used again.
    unsafe { result::memcpy_htod_async(to, from, stream.cu_stream()) }.map_err(said)
}

/// A run that can be queued at once.
pub struct Graph(CudaGraph);

// SAFETY: a graph moves with its session, and one thread at a time uses it.
unsafe impl Send for Graph {}

impl Graph {
    /// Queues it.
    ///
    /// # Errors
    /// What the driver says.
    pub fn launch(&self) -> Result<(), String> {
        self.0.launch().map_err(said)
    }
}
