//! The shim's calls, made safe.

use std::ffi::{CStr, CString, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError};

/// Most sides of a tensor.
const MAX_DIMS: usize = 8;

/// Bytes of an error message.
const MESSAGE: usize = 2048;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct RawShape {
    count: i32,
    side: [i64; MAX_DIMS],
}

#[repr(C)]
struct RawTensor {
    name: *const c_char,
    is_input: i32,
    kind: i32,
    shape: RawShape,
}

#[repr(C)]
struct RawRuntime {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawPlan {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawContext {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    fn weir_trt_major() -> i32;
    fn weir_trt_open(p: *const c_char, v: *mut i32, m: *mut c_char, c: usize) -> *mut RawRuntime;
    fn weir_trt_plan_new(
        runtime: *mut RawRuntime,
        bytes: *const c_void,
        length: usize,
        message: *mut c_char,
        capacity: usize,
    ) -> *mut RawPlan;
    fn weir_trt_plan_free(plan: *mut RawPlan);
    fn weir_trt_tensor_count(plan: *const RawPlan) -> i32;
    fn weir_trt_tensor_at(plan: *const RawPlan, index: i32, tensor: *mut RawTensor) -> i32;
    fn weir_trt_profile(p: *const RawPlan, n: *const c_char, w: i32, s: *mut RawShape) -> i32;
    fn weir_trt_context_new(p: *mut RawPlan, m: *mut c_char, c: usize) -> *mut RawContext;
    fn weir_trt_context_free(context: *mut RawContext);
    fn weir_trt_set_shape(
        context: *mut RawContext,
        name: *const c_char,
        shape: *const RawShape,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
    fn weir_trt_shape_of(c: *const RawContext, n: *const c_char, s: *mut RawShape) -> i32;
    fn weir_trt_bind(
        context: *mut RawContext,
        name: *const c_char,
        address: *mut c_void,
        message: *mut c_char,
        capacity: usize,
    ) -> i32;
    fn weir_trt_enqueue(c: *mut RawContext, s: *mut c_void, m: *mut c_char, n: usize) -> i32;
}

/// The major version of TensorRT that this program was built against.
pub static MAJOR: std::sync::LazyLock<i32> =
    // SAFETY: the call has no arguments and touches no memory.
    std::sync::LazyLock::new(|| unsafe { weir_trt_major() });

/// Room for the sentence that a failed call leaves.
struct Message([u8; MESSAGE]);

impl Message {
    fn new() -> Self {
        Self([0; MESSAGE])
    }

    fn at(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    fn text(&self) -> String {
        CStr::from_bytes_until_nul(&self.0)
            .map_or_else(|_| String::new(), |text| text.to_string_lossy().into_owned())
    }
}

impl RawShape {
    fn of(sides: &[i64]) -> Option<Self> {
        let mut shape = Self { count: i32::try_from(sides.len()).ok()?, ..Self::default() };
        shape.side.get_mut(..sides.len())?.copy_from_slice(sides);
        Some(shape)
    }

    fn sides(&self) -> Vec<i64> {
        let count = usize::try_from(self.count).unwrap_or(0).min(MAX_DIMS);
        self.side.iter().take(count).copied().collect()
    }
}

/// TensorRT's runtime library. Loaded once and for good.
pub struct Library {
    runtime: NonNull<RawRuntime>,
    version: i32,
    /// Plans are made ready one at a time.
    turn: Mutex<()>,
}

// SAFETY: the runtime is used under `turn` alone, and is never freed.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

impl Library {
    /// Opens the library at `path`: a file, or a name for the dynamic loader.
    ///
    /// # Errors
    /// Why it cannot be used: absent, no TensorRT, another major version.
    pub fn open(path: &Path) -> Result<Self, String> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| error.to_string())?;
        let (mut message, mut version) = (Message::new(), 0);
        // SAFETY: the path ends with a zero, the message has room for what is said of it, and both outlive the call.
        let runtime =
            unsafe { weir_trt_open(path.as_ptr(), &raw mut version, message.at(), MESSAGE) };
        let runtime = NonNull::new(runtime).ok_or_else(|| message.text())?;
        Ok(Self { runtime, version, turn: Mutex::new(()) })
    }

    /// Major × 10000 + minor × 100 + patch.
    pub fn version(&self) -> i32 {
        self.version
    }
}

/// Whether a tensor goes in or comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It goes in.
    Input,
    /// It comes out.
    Output,
}

/// Kinds of numbers that are understood here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 32-bit floats.
    Float,
    /// 16-bit floats.
    Half,
}

impl Kind {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::Float => 4,
            Self::Half => 2,
        }
    }
}

/// A tensor of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name.
    pub name: CString,
    /// Whether it goes in.
    pub role: Role,
    /// Its numbers; `None` for kinds that are not understood here.
    pub kind: Option<Kind>,
    /// Its sides, -1 where they are not settled.
    pub shape: Vec<i64>,
    /// Least and largest shape, of inputs that are not settled.
    pub range: Option<(Vec<i64>, Vec<i64>)>,
}

/// A plan made ready to run.
pub struct Plan {
    raw: NonNull<RawPlan>,
    /// The plan's code belongs to the library.
    library: Arc<Library>,
}

// SAFETY: TensorRT allows several threads to ask a plan and to make contexts of it; it is freed once, with its last owner.
unsafe impl Send for Plan {}
// SAFETY: as above; contexts are made under the library's `turn` besides.
unsafe impl Sync for Plan {}

impl Plan {
    /// Makes a plan ready.
    ///
    /// # Errors
    /// What TensorRT says.
    pub fn new(library: &Arc<Library>, bytes: &[u8]) -> Result<Self, String> {
        let _turn = library.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut message = Message::new();
        // SAFETY: the runtime lives for good; the bytes and the message outlive the call.
        let raw = unsafe {
            let bytes = (bytes.as_ptr().cast(), bytes.len());
            weir_trt_plan_new(library.runtime.as_ptr(), bytes.0, bytes.1, message.at(), MESSAGE)
        };
        let raw = NonNull::new(raw).ok_or_else(|| message.text())?;
        Ok(Self { raw, library: Arc::clone(library) })
    }

    /// All tensors, in the plan's order.
    pub fn tensors(&self) -> Vec<TensorInfo> {
        // SAFETY: the plan is alive.
        let count = unsafe { weir_trt_tensor_count(self.raw.as_ptr()) };
        (0..count).filter_map(|index| self.tensor(index)).collect()
    }

    fn tensor(&self, index: i32) -> Option<TensorInfo> {
        let mut raw =
            RawTensor { name: std::ptr::null(), is_input: 0, kind: 0, shape: RawShape::default() };
        // SAFETY: the plan is alive; the call fills `raw` whenever it does not give 0.
        let there = unsafe { weir_trt_tensor_at(self.raw.as_ptr(), index, &raw mut raw) };
        if there == 0 || raw.name.is_null() {
            return None;
        }
        // SAFETY: the name ends with a zero and lives as long as the plan; it is copied at once.
        let name = unsafe { CStr::from_ptr(raw.name) }.to_owned();
        let role = if raw.is_input == 1 { Role::Input } else { Role::Output };
        let kind = match raw.kind {
            0 => Some(Kind::Float),
            1 => Some(Kind::Half),
            _ => None,
        };
        let range = match role {
            Role::Input => self.profile(&name, 0).zip(self.profile(&name, 2)),
            Role::Output => None,
        };
        Some(TensorInfo { name, role, kind, shape: raw.shape.sides(), range })
    }

    fn profile(&self, name: &CStr, which: i32) -> Option<Vec<i64>> {
        let mut shape = RawShape::default();
        let raw = self.raw.as_ptr();
        // SAFETY: the plan is alive, the name ends with a zero.
        let there = unsafe { weir_trt_profile(raw, name.as_ptr(), which, &raw mut shape) };
        (there == 1 && shape.count > 0).then(|| shape.sides())
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        let _turn = self.library.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: no context is left, for each holds this plan alive; nobody can ask it any more.
        unsafe { weir_trt_plan_free(self.raw.as_ptr()) };
    }
}

/// What one thread runs a plan with.
pub(super) struct Context {
    raw: NonNull<RawContext>,
    plan: Arc<Plan>,
}

// SAFETY: a context may move between threads as long as one at a time uses it, and it is not `Sync`.
unsafe impl Send for Context {}

impl Context {
    pub(super) fn new(plan: &Arc<Plan>) -> Result<Self, String> {
        let _turn = plan.library.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut message = Message::new();
        // SAFETY: the plan is alive and is kept so by the context.
        let raw = unsafe { weir_trt_context_new(plan.raw.as_ptr(), message.at(), MESSAGE) };
        let raw = NonNull::new(raw).ok_or_else(|| message.text())?;
        Ok(Self { raw, plan: Arc::clone(plan) })
    }

    pub(super) fn set_shape(&mut self, name: &CStr, sides: &[i64]) -> Result<(), String> {
        let shape = RawShape::of(sides).ok_or("a tensor has at most 8 sides")?;
        let mut message = Message::new();
        // SAFETY: the context is alive; name and shape outlive the call.
        let done = unsafe {
            let (raw, name) = (self.raw.as_ptr(), name.as_ptr());
            weir_trt_set_shape(raw, name, &raw const shape, message.at(), MESSAGE)
        };
        if done == 1 { Ok(()) } else { Err(message.text()) }
    }

    /// The shape of a tensor, once those of the inputs are settled.
    pub(super) fn shape_of(&self, name: &CStr) -> Option<Vec<i64>> {
        let mut shape = RawShape::default();
        // SAFETY: the context is alive, the name ends with a zero.
        let there = unsafe { weir_trt_shape_of(self.raw.as_ptr(), name.as_ptr(), &raw mut shape) };
        (there == 1).then(|| shape.sides())
    }

    /// # Safety
    /// Memory of the device must begin at `address`, large enough for the tensor at every shape that is run, for as long
    /// as this context runs.
    pub(super) unsafe fn bind(&mut self, name: &CStr, address: *mut c_void) -> Result<(), String> {
        let mut message = Message::new();
        // SAFETY: the context is alive; the caller answers for the address.
        let done = unsafe {
            let (raw, name) = (self.raw.as_ptr(), name.as_ptr());
            weir_trt_bind(raw, name, address, message.at(), MESSAGE)
        };
        if done == 1 { Ok(()) } else { Err(message.text()) }
    }

    /// # Safety
    /// `stream` must be a live stream of the device on which the plan lies.
    pub(super) unsafe fn enqueue(&mut self, stream: *mut c_void) -> Result<(), String> {
        let mut message = Message::new();
        // SAFETY: the context is alive and its addresses are, by `bind`; the caller answers for the stream.
        let done = unsafe { weir_trt_enqueue(self.raw.as_ptr(), stream, message.at(), MESSAGE) };
        if done == 1 { Ok(()) } else { Err(message.text()) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        let _turn = self.plan.library.turn.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: freed once; what was queued with it is finished, for `Execution` waits for every run.
        unsafe { weir_trt_context_free(self.raw.as_ptr()) };
    }
}
