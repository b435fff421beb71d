//! The few functions of Tesseract's C API that OCR needs (`tesseract/capi.h` of Tesseract 5), from the shared library
//! that the system brings.
#![expect(unsafe_code, reason = "calls into a C library that is loaded at run time")]

use std::ffi::{CStr, CString, c_char, c_float, c_int, c_uchar, c_void};
use std::time::Duration;

use libloading::Library;

type Handle = *mut c_void;

/// `OEM_LSTM_ONLY`: Debian's language data has no other engine.
const OEM_LSTM_ONLY: c_int = 1;
/// `RIL_TEXTLINE`.
const LINE: c_int = 2;
/// `RIL_WORD`.
const WORD: c_int = 3;

/// The functions, in the order of `capi.h`.
struct Api {
    delete_text: unsafe extern "C" fn(*const c_char),
    create: unsafe extern "C" fn() -> Handle,
    delete: unsafe extern "C" fn(Handle),
    init: unsafe extern "C" fn(Handle, *const c_char, *const c_char, c_int) -> c_int,
    set_mode: unsafe extern "C" fn(Handle, c_int),
    set_image: unsafe extern "C" fn(Handle, *const c_uchar, c_int, c_int, c_int, c_int),
    set_resolution: unsafe extern "C" fn(Handle, c_int),
    recognize: unsafe extern "C" fn(Handle, Handle) -> c_int,
    iterator: unsafe extern "C" fn(Handle) -> Handle,
    clear: unsafe extern "C" fn(Handle),
    is_final: unsafe extern "C" fn(Handle, c_int, c_int) -> c_int,
    iterator_delete: unsafe extern "C" fn(Handle),
    next: unsafe extern "C" fn(Handle, c_int) -> c_int,
    text: unsafe extern "C" fn(Handle, c_int) -> *mut c_char,
    confidence: unsafe extern "C" fn(Handle, c_int) -> c_float,
    monitor_create: unsafe extern "C" fn() -> Handle,
    monitor_delete: unsafe extern "C" fn(Handle),
    monitor_deadline: unsafe extern "C" fn(Handle, c_int),
    /// Keeps the code that the pointers point to.
    _library: Library,
}

impl Api {
    fn load(name: &str) -> Result<Self, libloading::Error> {
        // SAFETY: Tesseract's initialisers only register its own tables. Every symbol is a function of the C API with
        // the signature that `capi.h` of major version 5 declares, and stays valid as long as `_library` lives.
        unsafe {
            let library = Library::new(name)?;
            Ok(Self {
                delete_text: *library.get(c"TessDeleteText")?,
                create: *library.get(c"TessBaseAPICreate")?,
                delete: *library.get(c"TessBaseAPIDelete")?,
                init: *library.get(c"TessBaseAPIInit2")?,
                set_mode: *library.get(c"TessBaseAPISetPageSegMode")?,
                set_image: *library.get(c"TessBaseAPISetImage")?,
                set_resolution: *library.get(c"TessBaseAPISetSourceResolution")?,
                recognize: *library.get(c"TessBaseAPIRecognize")?,
                iterator: *library.get(c"TessBaseAPIGetIterator")?,
                clear: *library.get(c"TessBaseAPIClear")?,
                is_final: *library.get(c"TessPageIteratorIsAtFinalElement")?,
                iterator_delete: *library.get(c"TessResultIteratorDelete")?,
                next: *library.get(c"TessResultIteratorNext")?,
                text: *library.get(c"TessResultIteratorGetUTF8Text")?,
                confidence: *library.get(c"TessResultIteratorConfidence")?,
                monitor_create: *library.get(c"TessMonitorCreate")?,
                monitor_delete: *library.get(c"TessMonitorDelete")?,
                monitor_deadline: *library.get(c"TessMonitorSetDeadlineMSecs")?,
                _library: library,
            })
        }
    }
}

/// One word that was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    /// The word.
    pub text: String,
    /// 0..=100.
    pub confidence: f32,
    /// Whether it is the last one of its line.
    pub ends_line: bool,
}

/// A Tesseract engine with its language data loaded. Reads no file after [`Tesseract::open`].
pub struct Tesseract {
    api: Api,
    handle: Handle,
}

// SAFETY: the engine has no ties to the thread that made it; `&mut self` on `read` keeps others out meanwhile.
unsafe impl Send for Tesseract {}

/// Why there is no engine.
#[derive(Debug)]
pub enum OpenError {
    /// The library or one of its functions is missing.
    Library(libloading::Error),
    /// The library does not accept the language data.
    Init,
}

impl Tesseract {
    /// Loads `library` and the data of `languages` (joined by `+`) from the folder `tessdata`.
    pub fn open(library: &str, tessdata: &CStr, languages: &CStr) -> Result<Self, OpenError> {
        let api = Api::load(library).map_err(OpenError::Library)?;
        // SAFETY: takes nothing, gives a new engine.
        let handle = unsafe { (api.create)() };
        if handle.is_null() {
            return Err(OpenError::Init);
        }
        let engine = Self { api, handle };
        // SAFETY: the handle is live, both strings end in NUL and outlive the call, which copies them.
        let code = unsafe {
            (engine.api.init)(engine.handle, tessdata.as_ptr(), languages.as_ptr(), OEM_LSTM_ONLY)
        };
        if code == 0 { Ok(engine) } else { Err(OpenError::Init) }
    }

    /// Reads the words of an 8-bit grey picture of `width` × `height`, rows packed. The flag says whether it came to
    /// its end within `limit`; the words read until then are there in any case.
    pub fn read(
        &mut self,
        grey: &[u8],
        (width, height): (u32, u32),
        mode: i32,
        ppi: i32,
        limit: Duration,
    ) -> (Vec<Word>, bool) {
        let size = (c_int::try_from(width), c_int::try_from(height));
        let (Ok(w), Ok(h)) = size else { return (Vec::new(), false) };
        if w == 0 || h == 0 || grey.len() as u64 != u64::from(width) * u64::from(height) {
            return (Vec::new(), false);
        }
        let limit_ms = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX).max(1);
        let api = &self.api;
        // SAFETY: the handle is live; `grey` holds h rows of w bytes (checked above) and outlives the call, which
        // copies it; the monitor is made, used and deleted here alone.
        let done = unsafe {
            (api.set_mode)(self.handle, mode);
            (api.set_image)(self.handle, grey.as_ptr(), w, h, 1, w);
            (api.set_resolution)(self.handle, ppi);
            let monitor = (api.monitor_create)();
            if !monitor.is_null() {
                (api.monitor_deadline)(monitor, limit_ms);
            }
            let code = (api.recognize)(self.handle, monitor);
            if !monitor.is_null() {
                (api.monitor_delete)(monitor);
            }
            code == 0
        };
        let words = self.words();
        // SAFETY: the handle is live, and no iterator over its results is left.
        unsafe { (self.api.clear)(self.handle) };
        (words, done)
    }

    fn words(&self) -> Vec<Word> {
        let (api, mut words) = (&self.api, Vec::new());
        // SAFETY: the iterator belongs to the live engine, whose results stay until `clear`; it is deleted here. A
        // result iterator is a page iterator (a base class at offset 0), as `TessResultIteratorGetPageIterator` says.
        unsafe {
            let iterator = (api.iterator)(self.handle);
            if iterator.is_null() {
                return words;
            }
            loop {
                let text = (api.text)(iterator, WORD);
                if !text.is_null() {
                    let word = CStr::from_ptr(text).to_string_lossy().into_owned();
                    (api.delete_text)(text);
                    let confidence = (api.confidence)(iterator, WORD);
                    let ends_line = (api.is_final)(iterator, LINE, WORD) != 0;
                    words.push(Word { text: word, confidence, ends_line });
                }
                if (api.next)(iterator, WORD) == 0 {
                    break;
                }
            }
            (api.iterator_delete)(iterator);
        }
        words
    }
}

impl Drop for Tesseract {
    fn drop(&mut self) {
        // SAFETY: the handle is live and not used after this.
        unsafe { (self.api.delete)(self.handle) };
    }
}

/// A string for C; `None` where it has a NUL inside.
pub fn c_string(text: &str) -> Option<CString> {
    CString::new(text).ok()
}
