//! libturbojpeg 2.x, loaded at run time. The only unsafe code of the JPEG decoder.
#![expect(unsafe_code, reason = "calls a C library; each block says why it is sound")]

use std::ffi::{CStr, c_char, c_int, c_uchar, c_ulong, c_void};
use std::sync::OnceLock;

use libloading::Library;

use crate::decode::DecodeError;

/// Three bytes a pixel: R, G, B.
const TJPF_RGB: c_int = 0;
/// Four bytes a pixel: C, M, Y, K as stored.
const TJPF_CMYK: c_int = 11;
/// Colour spaces of the header.
const TJCS_CMYK: c_int = 3;
const TJCS_YCCK: c_int = 4;
/// Nearest-neighbour upsampling of chroma.
const TJFLAG_FASTUPSAMPLE: c_int = 256;
/// `tjGetErrorCode` after a failure that left a picture behind.
const TJERR_WARNING: c_int = 0;

type Handle = *mut c_void;

/// The functions that are used, and the library that keeps them mapped.
struct Api {
    init: unsafe extern "C" fn() -> Handle,
    header: unsafe extern "C" fn(
        Handle,
        *const c_uchar,
        c_ulong,
        *mut c_int,
        *mut c_int,
        *mut c_int,
        *mut c_int,
    ) -> c_int,
    decompress: unsafe extern "C" fn(
        Handle,
        *const c_uchar,
        c_ulong,
        *mut c_uchar,
        c_int,
        c_int,
        c_int,
        c_int,
        c_int,
    ) -> c_int,
    error: unsafe extern "C" fn(Handle) -> *const c_char,
    code: unsafe extern "C" fn(Handle) -> c_int,
    destroy: unsafe extern "C" fn(Handle) -> c_int,
    _library: Library,
}

/// Loads the library once; later calls only look.
fn api() -> Result<&'static Api, DecodeError> {
    static API: OnceLock<Result<Api, String>> = OnceLock::new();
    API.get_or_init(|| load().map_err(|e| e.to_string())).as_ref().map_err(|why| {
        DecodeError::Missing(format!("JPEG needs libturbojpeg.so.0 (Debian: libturbojpeg0): {why}"))
    })
}

fn load() -> Result<Api, libloading::Error> {
    // SAFETY: the library's initialisers do nothing but set up its own data, and the types of the functions are
    // those of turbojpeg.h of 2.0 and 2.1, which the soname 0 promises.
    unsafe {
        let library = Library::new("libturbojpeg.so.0")?;
        Ok(Api {
            init: *library.get(c"tjInitDecompress")?,
            header: *library.get(c"tjDecompressHeader3")?,
            decompress: *library.get(c"tjDecompress2")?,
            error: *library.get(c"tjGetErrorStr2")?,
            code: *library.get(c"tjGetErrorCode")?,
            destroy: *library.get(c"tjDestroy")?,
            _library: library,
        })
    }
}

/// What the library says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Width in pixels.
    pub(super) width: u32,
    /// Height in pixels.
    pub(super) height: u32,
    /// Four components, to be read as CMYK.
    pub(super) cmyk: bool,
}

/// A decompressor of its own.
pub(super) struct Decompressor {
    api: &'static Api,
    handle: Handle,
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the handle came from `init` and is destroyed once.
        unsafe { (self.api.destroy)(self.handle) };
    }
}

impl Decompressor {
    /// A fresh decompressor.
    pub(super) fn new() -> Result<Self, DecodeError> {
        let api = api()?;
        // SAFETY: takes nothing; null means that memory ran out.
        let handle = unsafe { (api.init)() };
        if handle.is_null() {
            return Err(DecodeError::TooLarge("libturbojpeg got no memory".to_owned()));
        }
        Ok(Self { api, handle })
    }

    /// The library's last words.
    fn words(&self) -> String {
        // SAFETY: the handle lives; the string it gives is NUL-terminated and valid until the next call.
        unsafe { CStr::from_ptr((self.api.error)(self.handle)) }.to_string_lossy().into_owned()
    }

    /// Ends well, or with the library's complaint: `Ok(Some(_))` where it warned and went on.
    fn outcome(&self, status: c_int) -> Result<Option<String>, DecodeError> {
        if status == 0 {
            return Ok(None);
        }
        // SAFETY: the handle lives.
        let code = unsafe { (self.api.code)(self.handle) };
        if code == TJERR_WARNING {
            Ok(Some(self.words()))
        } else {
            Err(DecodeError::Damaged(self.words()))
        }
    }

    /// Reads the header.
    pub(super) fn header(&mut self, jpeg: &[u8]) -> Result<Header, DecodeError> {
        let (mut width, mut height, mut subsampling, mut space) = (0, 0, 0, 0);
        // SAFETY: the bytes are valid for their length, the four numbers for one write each.
        let status = unsafe {
            (self.api.header)(
                self.handle,
                jpeg.as_ptr(),
                jpeg.len() as c_ulong,
                &raw mut width,
                &raw mut height,
                &raw mut subsampling,
                &raw mut space,
            )
        };
        // A subsampling without a name is an error of this call alone, and after the rest was written.
        if subsampling >= 0 || width <= 0 || height <= 0 {
            self.outcome(status)?;
        }
        let side = |n: c_int| u32::try_from(n).unwrap_or(0);
        let cmyk = matches!(space, TJCS_CMYK | TJCS_YCCK);
        Ok(Header { width: side(width), height: side(height), cmyk })
    }

    /// Decodes to `width` × `height`, which must come from a scaling factor of the library. The buffer is three
    /// bytes a pixel, for CMYK four; also gives the warning, if there was one.
    pub(super) fn decode(
        &mut self,
        jpeg: &[u8],
        (width, height): (u32, u32),
        cmyk: bool,
    ) -> Result<(Vec<u8>, Option<String>), DecodeError> {
        let too_large = || DecodeError::TooLarge(format!("{width} × {height} pixels"));
        let (format, depth) = if cmyk { (TJPF_CMYK, 4) } else { (TJPF_RGB, 3) };
        let pitch =
            c_int::try_from(width).ok().and_then(|w| w.checked_mul(depth)).ok_or_else(too_large)?;
        let rows = c_int::try_from(height).map_err(|_| too_large())?;
        let length = (pitch as usize).checked_mul(rows as usize).ok_or_else(too_large)?;
        let mut pixels = vec![0u8; length];
        // SAFETY: the bytes are valid for their length; the library writes `rows` rows of `pitch` bytes at most,
        // for it scales to no more than the width and height that it is given, or fails.
        let status = unsafe {
            (self.api.decompress)(
                self.handle,
                jpeg.as_ptr(),
                jpeg.len() as c_ulong,
                pixels.as_mut_ptr(),
                pitch / depth,
                pitch,
                rows,
                format,
                TJFLAG_FASTUPSAMPLE,
            )
        };
        let warning = self.outcome(status)?;
        Ok((pixels, warning))
    }
}
