//! The version of ONNX Runtime, which `ort` reads and keeps to itself.
#![expect(unsafe_code, reason = "a call into a C library")]

use std::ffi::{CStr, c_char, c_void};
use std::path::Path;

/// The first thing that ONNX Runtime gives: how to ask for its functions, and its version.
#[repr(C)]
struct Base {
    _functions: unsafe extern "C" fn(u32) -> *const c_void,
    version: unsafe extern "C" fn() -> *const c_char,
}

/// The version of the library at `path`, which is loaded already.
pub(super) fn version(path: &Path) -> Option<String> {
    // SAFETY: the library is in the process; opening it once more runs no initialiser again.
    let library = unsafe { libloading::Library::new(path) }.ok()?;
    // SAFETY: ONNX Runtime's C interface has had this function, of this type, from its first version on.
    let base =
        unsafe { library.get::<unsafe extern "C" fn() -> *const Base>(c"OrtGetApiBase") }.ok()?;
    // SAFETY: it gives a pointer to a structure that lives as long as the library, which `ort` never closes.
    let text = unsafe { base().as_ref() }.map(|base| unsafe { (base.version)() })?;
    // SAFETY: a string of the library, ended by a zero.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
