//! libheif 1.15 or later, loaded at run time. The only unsafe code of the HEIF decoder.
#![expect(unsafe_code, reason = "calls a C library; each block says why it is sound")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;

use libloading::Library;

use crate::decode::DecodeError;

/// `heif_error_Unsupported_filetype`, `heif_error_Unsupported_feature`.
const UNSUPPORTED: [c_int; 2] = [3, 4];
const MEMORY: c_int = 6;
const COLORSPACE_RGB: c_int = 1;
const CHROMA_INTERLEAVED_RGBA: c_int = 11;
const CHANNEL_INTERLEAVED: c_int = 10;

/// `struct heif_error`.
#[repr(C)]
struct Error {
    code: c_int,
    subcode: c_int,
    message: *const c_char,
}

/// The beginning of `struct heif_decoding_options`, up to version 2.
#[repr(C)]
struct Options {
    version: u8,
    ignore_transformations: u8,
    start_progress: *const c_void,
    on_progress: *const c_void,
    end_progress: *const c_void,
    progress_user_data: *mut c_void,
    convert_hdr_to_8bit: u8,
}

type Raw = *mut c_void;

struct Api {
    context_alloc: unsafe extern "C" fn() -> Raw,
    context_free: unsafe extern "C" fn(Raw),
    set_size_limit: unsafe extern "C" fn(Raw, c_int),
    set_threads: unsafe extern "C" fn(Raw, c_int),
    read: unsafe extern "C" fn(Raw, *const c_void, usize, *const c_void) -> Error,
    primary: unsafe extern "C" fn(Raw, *mut Raw) -> Error,
    count: unsafe extern "C" fn(Raw) -> c_int,
    list: unsafe extern "C" fn(Raw, *mut u32, c_int) -> c_int,
    handle: unsafe extern "C" fn(Raw, u32, *mut Raw) -> Error,
    is_primary: unsafe extern "C" fn(Raw) -> c_int,
    handle_release: unsafe extern "C" fn(Raw),
    handle_width: unsafe extern "C" fn(Raw) -> c_int,
    handle_height: unsafe extern "C" fn(Raw) -> c_int,
    options_alloc: unsafe extern "C" fn() -> *mut Options,
    options_free: unsafe extern "C" fn(*mut Options),
    decode: unsafe extern "C" fn(Raw, *mut Raw, c_int, c_int, *const Options) -> Error,
    image_width: unsafe extern "C" fn(Raw, c_int) -> c_int,
    image_height: unsafe extern "C" fn(Raw, c_int) -> c_int,
    plane: unsafe extern "C" fn(Raw, c_int, *mut c_int) -> *const u8,
    premultiplied: unsafe extern "C" fn(Raw) -> c_int,
    warnings: unsafe extern "C" fn(Raw, c_int, *mut Error, c_int) -> c_int,
    image_release: unsafe extern "C" fn(Raw),
    have_decoder: unsafe extern "C" fn(c_int) -> c_int,
    _library: Library,
}

/// The codec of the primary picture, numbered as `enum heif_compression_format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    /// H.265.
    Hevc = 1,
    /// AV1.
    Av1 = 4,
}

fn api() -> Result<&'static Api, DecodeError> {
    static API: OnceLock<Result<Api, String>> = OnceLock::new();
    API.get_or_init(|| load().map_err(|e| e.to_string())).as_ref().map_err(|why| {
        DecodeError::Missing(format!("HEIC and AVIF need libheif.so.1 (Debian: libheif1): {why}"))
    })
}

fn load() -> Result<Api, libloading::Error> {
    // SAFETY: the library's initialisers do nothing but set up its own data, and the types of the functions are
    // those of heif.h, which the soname 1 promises. `heif_init` takes null for its defaults and loads plugins.
    unsafe {
        let library = Library::new("libheif.so.1")?;
        if let Ok(init) = library.get::<unsafe extern "C" fn(*mut c_void) -> Error>(c"heif_init") {
            init(ptr::null_mut());
        }
        Ok(Api {
            context_alloc: *library.get(c"heif_context_alloc")?,
            context_free: *library.get(c"heif_context_free")?,
            set_size_limit: *library.get(c"heif_context_set_maximum_image_size_limit")?,
            set_threads: *library.get(c"heif_context_set_max_decoding_threads")?,
            read: *library.get(c"heif_context_read_from_memory_without_copy")?,
            primary: *library.get(c"heif_context_get_primary_image_handle")?,
            count: *library.get(c"heif_context_get_number_of_top_level_images")?,
            list: *library.get(c"heif_context_get_list_of_top_level_image_IDs")?,
            handle: *library.get(c"heif_context_get_image_handle")?,
            is_primary: *library.get(c"heif_image_handle_is_primary_image")?,
            handle_release: *library.get(c"heif_image_handle_release")?,
            handle_width: *library.get(c"heif_image_handle_get_width")?,
            handle_height: *library.get(c"heif_image_handle_get_height")?,
            options_alloc: *library.get(c"heif_decoding_options_alloc")?,
            options_free: *library.get(c"heif_decoding_options_free")?,
            decode: *library.get(c"heif_decode_image")?,
            image_width: *library.get(c"heif_image_get_width")?,
            image_height: *library.get(c"heif_image_get_height")?,
            plane: *library.get(c"heif_image_get_plane_readonly")?,
            premultiplied: *library.get(c"heif_image_is_premultiplied_alpha")?,
            warnings: *library.get(c"heif_image_get_decoding_warnings")?,
            image_release: *library.get(c"heif_image_release")?,
            have_decoder: *library.get(c"heif_have_decoder_for_format")?,
            _library: library,
        })
    }
}

fn have(api: &Api, codec: Codec) -> Result<(), DecodeError> {
    // SAFETY: takes a number.
    if unsafe { (api.have_decoder)(codec as c_int) } != 0 {
        return Ok(());
    }
    Err(DecodeError::Missing(match codec {
        Codec::Hevc => {
            "libheif has no HEVC decoder (Debian: libde265-0 or libheif-plugin-libde265)".to_owned()
        }
        Codec::Av1 => {
            "libheif has no AV1 decoder (Debian: libdav1d6 or libheif-plugin-dav1d)".to_owned()
        }
    }))
}

/// Loads the library and asks for both decoders.
pub(super) fn preload() -> Result<(), DecodeError> {
    let api = api()?;
    have(api, Codec::Hevc)?;
    have(api, Codec::Av1)
}

/// The error that libheif returned.
fn outcome(error: &Error) -> Result<(), DecodeError> {
    if error.code == 0 {
        return Ok(());
    }
    let words = if error.message.is_null() {
        format!("libheif error {}.{}", error.code, error.subcode)
    } else {
        // SAFETY: libheif's messages are NUL-terminated and live as long as the object that failed, which does.
        unsafe { CStr::from_ptr(error.message) }.to_string_lossy().into_owned()
    };
    Err(match error.code {
        code if UNSUPPORTED.contains(&code) => DecodeError::Unsupported(format!("HEIF: {words}")),
        MEMORY => DecodeError::TooLarge(format!("HEIF: {words}")),
        _ => DecodeError::Damaged(format!("HEIF: {words}")),
    })
}

/// A file in memory.
pub(super) struct Context<'a> {
    api: &'static Api,
    raw: Raw,
    bytes: PhantomData<&'a [u8]>,
}

impl Drop for Context<'_> {
    fn drop(&mut self) {
        // SAFETY: allocated by `context_alloc`, freed once.
        unsafe { (self.api.context_free)(self.raw) };
    }
}

impl<'a> Context<'a> {
    /// Parses the file; no picture of more pixels is decoded later.
    pub(super) fn read(
        bytes: &'a [u8],
        max_pixels: u64,
        codec: Codec,
    ) -> Result<Self, DecodeError> {
        let api = api()?;
        have(api, codec)?;
        // SAFETY: takes nothing.
        let raw = unsafe { (api.context_alloc)() };
        if raw.is_null() {
            return Err(DecodeError::TooLarge("libheif got no memory".to_owned()));
        }
        let context = Self { api, raw, bytes: PhantomData };
        let side = c_int::try_from(max_pixels.isqrt() + 1).unwrap_or(c_int::MAX);
        // SAFETY: the context lives; the bytes outlive it by its lifetime parameter, so that libheif need not copy
        // them. Without threads of its own it works in this one.
        let error = unsafe {
            (api.set_size_limit)(raw, side);
            (api.set_threads)(raw, 0);
            (api.read)(raw, bytes.as_ptr().cast(), bytes.len(), ptr::null())
        };
        outcome(&error)?;
        Ok(context)
    }

    /// The primary picture.
    pub(super) fn primary(&self) -> Result<Handle<'_>, DecodeError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the context lives; one pointer is written.
        let error = unsafe { (self.api.primary)(self.raw, &raw mut raw) };
        outcome(&error)?;
        if raw.is_null() {
            return Err(DecodeError::Damaged("HEIF: it has no primary picture".to_owned()));
        }
        Ok(Handle { api: self.api, raw, context: PhantomData })
    }

    /// Number of the pictures that a viewer may show: no thumbnails, tiles, depth or gain maps.
    pub(super) fn pictures(&self) -> usize {
        // SAFETY: the context lives.
        usize::try_from(unsafe { (self.api.count)(self.raw) }).unwrap_or(0)
    }

    /// Such pictures other than the primary one, at most `most`.
    pub(super) fn others(
        &self,
        most: usize,
    ) -> impl Iterator<Item = Result<Handle<'_>, DecodeError>> {
        let mut ids = vec![0u32; self.pictures().min(most.saturating_add(1))];
        // SAFETY: the context lives; at most as many numbers are written as there is room for.
        let count = unsafe {
            (self.api.list)(self.raw, ids.as_mut_ptr(), c_int::try_from(ids.len()).unwrap_or(0))
        };
        ids.truncate(usize::try_from(count).unwrap_or(0));
        ids.into_iter()
            .map(|id| self.handle(id))
            .filter(|h| h.as_ref().map_or(true, |h| !h.is_primary()))
    }

    fn handle(&self, id: u32) -> Result<Handle<'_>, DecodeError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the context lives; one pointer is written.
        let error = unsafe { (self.api.handle)(self.raw, id, &raw mut raw) };
        outcome(&error)?;
        if raw.is_null() {
            return Err(DecodeError::Damaged("HEIF: a picture of it is missing".to_owned()));
        }
        Ok(Handle { api: self.api, raw, context: PhantomData })
    }
}

/// A picture of a file.
pub(super) struct Handle<'a> {
    api: &'static Api,
    raw: Raw,
    context: PhantomData<&'a ()>,
}

impl Drop for Handle<'_> {
    fn drop(&mut self) {
        // SAFETY: came from libheif, released once.
        unsafe { (self.api.handle_release)(self.raw) };
    }
}

/// A decoded picture.
pub(super) struct Picture {
    /// Width in pixels, upright.
    pub(super) width: u32,
    /// Height in pixels, upright.
    pub(super) height: u32,
    /// Packed RGBA.
    pub(super) rgba: Vec<u8>,
    /// Whether the colours are multiplied with their alpha.
    pub(super) premultiplied: bool,
    /// Whether libheif found damage.
    pub(super) warned: bool,
}

/// An image that is released when it goes.
struct Image {
    api: &'static Api,
    raw: Raw,
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: came from libheif, released once.
        unsafe { (self.api.image_release)(self.raw) };
    }
}

impl Handle<'_> {
    fn is_primary(&self) -> bool {
        // SAFETY: the handle lives.
        unsafe { (self.api.is_primary)(self.raw) != 0 }
    }

    /// Upright size in pixels.
    pub(super) fn size(&self) -> (u32, u32) {
        // SAFETY: the handle lives.
        let (w, h) =
            unsafe { ((self.api.handle_width)(self.raw), (self.api.handle_height)(self.raw)) };
        (u32::try_from(w).unwrap_or(0), u32::try_from(h).unwrap_or(0))
    }

    /// Decodes to RGBA of 8 bits, upright.
    pub(super) fn decode(&self) -> Result<Picture, DecodeError> {
        let image = self.image()?;
        let Image { api, raw } = image;
        let mut stride = 0;
        // SAFETY: the image lives; the plane belongs to it.
        let (width, height, plane) = unsafe {
            let width = (api.image_width)(raw, CHANNEL_INTERLEAVED);
            let height = (api.image_height)(raw, CHANNEL_INTERLEAVED);
            (width, height, (api.plane)(raw, CHANNEL_INTERLEAVED, &raw mut stride))
        };
        let side = |n: c_int| usize::try_from(n).ok().filter(|n| *n > 0);
        let (Some(w), Some(h), Some(stride), false) =
            (side(width), side(height), side(stride), plane.is_null())
        else {
            return Err(DecodeError::Damaged("HEIF: libheif gave no pixels".to_owned()));
        };
        if stride < w * 4 {
            return Err(DecodeError::Damaged("HEIF: libheif gave no RGBA".to_owned()));
        }
        let mut rgba = Vec::with_capacity(w * h * 4);
        for y in 0..h {
            // SAFETY: the plane has `h` rows `stride` apart, each of at least `w * 4` bytes, and lives as `image`.
            rgba.extend_from_slice(unsafe {
                std::slice::from_raw_parts(plane.add(y * stride), w * 4)
            });
        }
        // SAFETY: the image lives; with room for no warning only their number is told.
        let (premultiplied, warnings) =
            unsafe { ((api.premultiplied)(raw), (api.warnings)(raw, 0, ptr::null_mut(), 0)) };
        let (width, height) = (w as u32, h as u32);
        Ok(Picture { width, height, rgba, premultiplied: premultiplied != 0, warned: warnings > 0 })
    }

    fn image(&self) -> Result<Image, DecodeError> {
        let mut raw = ptr::null_mut();
        // SAFETY: the options are libheif's own with defaults, of version 2 or later since 1.15, so that the field is
        // there; they are freed after use. One pointer is written.
        let error = unsafe {
            let options = (self.api.options_alloc)();
            if let Some(options) = options.as_mut() {
                options.convert_hdr_to_8bit = 1;
            }
            let (space, chroma) = (COLORSPACE_RGB, CHROMA_INTERLEAVED_RGBA);
            let error = (self.api.decode)(self.raw, &raw mut raw, space, chroma, options);
            (self.api.options_free)(options);
            error
        };
        outcome(&error)?;
        if raw.is_null() {
            return Err(DecodeError::Damaged("HEIF: libheif gave no picture".to_owned()));
        }
        Ok(Image { api: self.api, raw })
    }
}
